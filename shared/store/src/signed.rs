//! Columns of signed envelopes: `key`, `envelope`, `pack`, `pack_offset` and `pack_size`, all or none.
