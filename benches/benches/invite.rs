//! INVITE in to INVITE out: what one shard does between the octets of a caller's INVITE and the octets of the INVITE to the callee, with the four shipped
//! policies asked on the way. No socket and no clock; what a socket costs is measured by `peers/compare`.

#![allow(missing_docs, reason = "a bench")]

use benches::office::Office;
use criterion::{Criterion, criterion_group, criterion_main};

fn invite(c: &mut Criterion) {
    let office = Office::new(1, 1);
    let mut desk = office.desk(0);
    desk.register_all();
    c.bench_function("INVITE in to INVITE out, four policies", |b| {
        b.iter_custom(|iterations| {
            (0..iterations)
                .map(|_| {
                    let (took, callee, out) = desk.invite_to_invite(desk.invite());
                    desk.finish(callee, &out);
                    took
                })
                .sum()
        });
    });
}

criterion_group!(benches, invite);
criterion_main!(benches);
