-- layout: what a chain of signed records must have, for each requirement there can be: the hint of an envelope that promote signs
-- whenever the key ring changes, and daily. Whoever hands one out verifies it first.
CREATE TABLE layout (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    required    bigint      NOT NULL CHECK (required > 0),
    tolerated   bigint      NOT NULL CHECK (tolerated & ~required = 0),
    ring        bytea       NOT NULL CHECK (octet_length(ring) = 32),
    key         bytea       NOT NULL CHECK (octet_length(key) = 32),
    envelope    bytea       NOT NULL CHECK (octet_length(envelope) = 32),
    pack        bytea       NOT NULL CHECK (octet_length(pack) = 32),
    pack_offset integer     NOT NULL CHECK (pack_offset >= 0),
    pack_size   integer     NOT NULL CHECK (pack_size BETWEEN 1 AND 65536),
    expires_at  timestamptz NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX layout_latest ON layout (required, tolerated, id DESC);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON layout FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON layout FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE layout ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;

GRANT SELECT ON layout TO touchstone_edge, touchstone_promote, touchstone_console;
GRANT INSERT (required, tolerated, ring, key, envelope, pack, pack_offset, pack_size, expires_at) ON layout TO touchstone_promote;
