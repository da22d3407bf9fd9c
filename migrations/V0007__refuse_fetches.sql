-- fetch_refusal: why a signed fetch counts for nothing: its envelope is lost, it is not about these bytes, or no key of ours signed
-- it. An edge fetches again what has no other.
CREATE TABLE fetch_refusal (
    artifact_id bigint      NOT NULL, -- no foreign key, as `fetched` has none
    envelope    bytea       NOT NULL CHECK (octet_length(envelope) = 32),
    code        text        COLLATE "C" NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 64),
    reason      text        NOT NULL CHECK (octet_length(reason) <= 4096),
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (artifact_id, envelope)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON fetch_refusal FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON fetch_refusal FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE fetch_refusal ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate;

GRANT SELECT ON fetch_refusal TO touchstone_edge, touchstone_hash, touchstone_promote, touchstone_console;
GRANT INSERT (artifact_id, envelope, code, reason) ON fetch_refusal TO touchstone_promote;
