//! The only writer of promotions.
