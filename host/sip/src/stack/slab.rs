//! Storage for transactions: a vector with reused places. An id holds the place and how often it was reused, so an id of an
//! ended transaction finds nothing.

/// Values under ids that are never given out twice (until a place has been reused 2^32 times).
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// An id for a value that is about to be put in with [`Slab::put`], or to be given up with [`Slab::take`].
    pub(crate) fn reserve(&mut self) -> u64 {
        if let Some(index) = self.free.pop() {
            let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
            return join(index, generation);
        }
        // More than 2^32 places would need a terabyte; the limits of the stack stop long before.
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, value: None });
        join(index, 0)
    }

    pub(crate) fn put(&mut self, id: u64, value: T) {
        if let Some(slot) = self.slot_mut(id) {
            slot.value = Some(value);
        }
    }

    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        let (index, generation) = split(id);
        self.slots.get(index as usize).filter(|slot| slot.generation == generation)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.slot_mut(id)?.value.as_mut()
    }

    /// Frees the place of `id`; whatever was there is returned.
    pub(crate) fn take(&mut self, id: u64) -> Option<T> {
        let slot = self.slot_mut(id)?;
        slot.generation = slot.generation.wrapping_add(1);
        let value = slot.value.take();
        self.free.push(split(id).0);
        value
    }

    fn slot_mut(&mut self, id: u64) -> Option<&mut Slot<T>> {
        let (index, generation) = split(id);
        self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)
    }
}

const fn join(index: u32, generation: u32) -> u64 {
    ((generation as u64) << 32) | index as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a 64-bit id")]
const fn split(id: u64) -> (u32, u32) {
    (id as u32, (id >> 32) as u32)
}
