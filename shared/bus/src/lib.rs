//! NATS JetStream: subjects, envelopes, publish, consume.
