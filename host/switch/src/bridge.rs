//! The bridge: two dialogs joined into one call.
