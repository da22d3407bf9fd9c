-- Every decision signed: which envelope a row is the hint of, what was fetched, why a verdict does not count, and the leaves of the
-- transparency log. Plain SQL, valid on PostgreSQL 15 and 18. Envelopes are in the blob store, many in one blob, their pack. Rows
-- from before have none, hence NOT VALID: what exists stays, and every new row is signed. So the version before can write no decision
-- beside this schema any more, which is meant: its decisions would count for nothing.

-- attempt: how many of the rows before it, that are else the same, were refused. So a row that somebody forged is in the way of the
-- genuine one only until promote has looked at it, and a verdict that is delivered twice is still recorded once.
ALTER TABLE verdict
    ADD COLUMN key         bytea,
    ADD COLUMN envelope    bytea,
    ADD COLUMN pack        bytea,
    ADD COLUMN pack_offset integer,
    ADD COLUMN pack_size   integer,
    ADD COLUMN attempt     smallint NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    ADD CONSTRAINT verdict_signed_check CHECK
        (num_nulls(key, envelope, pack, pack_offset, pack_size) = 0 AND octet_length(key) = 32
         AND octet_length(envelope) = 32 AND octet_length(pack) = 32 AND pack_offset >= 0
         AND pack_size BETWEEN 1 AND 65536) NOT VALID,
    DROP CONSTRAINT verdict_artifact_id_check_kind_check_revision_epoch_policy__key,
    ADD CONSTRAINT verdict_once UNIQUE
        (artifact_id, check_kind, check_revision, epoch, policy_epoch, outcome, key, attempt);

-- rests_on: the keys of the fetch and of the verdicts that were verified, 32 bytes each, one after the other.
ALTER TABLE promotion
    ADD COLUMN key         bytea,
    ADD COLUMN envelope    bytea,
    ADD COLUMN pack        bytea,
    ADD COLUMN pack_offset integer,
    ADD COLUMN pack_size   integer,
    ADD COLUMN rests_on    bytea NOT NULL DEFAULT '' CHECK (octet_length(rests_on) % 32 = 0 AND octet_length(rests_on) <= 1024),
    ADD CONSTRAINT promotion_signed_check CHECK
        (num_nulls(key, envelope, pack, pack_offset, pack_size) = 0 AND octet_length(key) = 32
         AND octet_length(envelope) = 32 AND octet_length(pack) = 32 AND pack_offset >= 0
         AND pack_size BETWEEN 1 AND 65536) NOT VALID;

-- What the services can read, by the rules of their types: a row that none can read would be in the way of others.
ALTER TABLE artifact
    ADD CONSTRAINT artifact_names_check CHECK (
        package ~ '^[][!''()*+,./0-9:=@A-Z_a-z~-]+$' AND '/' || package || '/' !~ '/[.]{0,2}/'
        AND length(package) - length(replace(package, '/', '')) <= 64
        AND version ~ '^[][!''()*+,.0-9:=@A-Z_a-z~-]+$' AND version NOT IN ('.', '..')
        AND file ~ '^[][!''()*+,.0-9:=@A-Z_a-z~-]+$' AND file NOT IN ('.', '..')) NOT VALID,
    ADD CONSTRAINT artifact_published_check CHECK (isfinite(published_at) AND published_at < '9999-12-01 00:00:00+00') NOT VALID;
ALTER TABLE claim
    ADD CONSTRAINT claim_known_check CHECK (field IN (
        'cargo.cksum', 'npm.integrity', 'npm.shasum', 'pypi.hash', 'pypi.core_metadata', 'size')) NOT VALID,
    ADD CONSTRAINT claim_count_check CHECK (ordinal < 512) NOT VALID;
ALTER TABLE evidence
    ADD CONSTRAINT evidence_known_check CHECK (kind IN ('metadata_entry', 'attestations', 'sumdb_lookup')) NOT VALID,
    ADD CONSTRAINT evidence_count_check CHECK (ordinal < 512) NOT VALID,
    ADD CONSTRAINT evidence_seen_check CHECK (seen_at >= '1970-01-01 00:00:00+00' AND seen_at < '9999-12-01 00:00:00+00') NOT VALID;
ALTER TABLE gate -- the services' last second
    ADD CONSTRAINT gate_times_check CHECK (
        isfinite(eligible_at) AND eligible_at < '9999-12-30 22:00:01+00'
        AND isfinite(dispatch_due) AND dispatch_due < '9999-12-30 22:00:01+00') NOT VALID;
ALTER TABLE incident
    ADD CONSTRAINT incident_names_check CHECK (
        ecosystem IN ('cargo', 'go', 'npm', 'pypi')
        AND package ~ '^[][!''()*+,./0-9:=@A-Z_a-z~-]+$' AND '/' || package || '/' !~ '/[.]{0,2}/'
        AND length(package) - length(replace(package, '/', '')) <= 64
        AND version ~ '^[][!''()*+,.0-9:=@A-Z_a-z~-]+$' AND version NOT IN ('.', '..')
        AND file ~ '^[][!''()*+,.0-9:=@A-Z_a-z~-]+$' AND file NOT IN ('.', '..')) NOT VALID,
    ADD CONSTRAINT incident_times_check CHECK (
        isfinite(last_at) AND last_at < '9999-12-01 00:00:00+00'
        AND isfinite(resolved_at) AND resolved_at < '9999-12-01 00:00:00+00') NOT VALID;
ALTER TABLE verdict -- what ends a waiver is compared in Postgres
    ADD CONSTRAINT verdict_decided_check CHECK (isfinite(decided_at) AND decided_at < '9999-12-01 00:00:00+00') NOT VALID,
    ADD CONSTRAINT verdict_waived_check CHECK (
        CASE WHEN reason ->> 'code' = 'waived' THEN (reason ->> 'expires')::timestamptz IS NOT NULL ELSE true END) NOT VALID;
ALTER TABLE policy
    ADD CONSTRAINT policy_document_is_named_check CHECK (sha256 = pg_catalog.sha256(convert_to(document, 'UTF8'))) NOT VALID;

-- unsigned: whether the gate was opened, and not reopened, before verdicts were signed; what it says rests on nothing then.
ALTER TABLE gate ADD COLUMN unsigned boolean NOT NULL DEFAULT true;
ALTER TABLE gate ALTER COLUMN unsigned SET DEFAULT false;
CREATE INDEX gate_unsigned ON gate (artifact_id) WHERE unsigned;

-- fetched: an edge's signed word on what it fetched, and from where; several of the same bytes if they were fetched again.
CREATE TABLE fetched (
    artifact_id bigint      NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    key         bytea       NOT NULL CHECK (octet_length(key) = 32),
    envelope    bytea       NOT NULL CHECK (octet_length(envelope) = 32),
    pack        bytea       NOT NULL CHECK (octet_length(pack) = 32),
    pack_offset integer     NOT NULL CHECK (pack_offset >= 0),
    pack_size   integer     NOT NULL CHECK (pack_size BETWEEN 1 AND 65536),
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (artifact_id, id) -- no foreign key, as `verdict` has none
);

-- verdict_refusal: why a row of `verdict` counts for nothing: it is not what was signed, or no key of ours signed it.
CREATE TABLE verdict_refusal (
    verdict_id bigint      PRIMARY KEY,
    code       text        COLLATE "C" NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 64),
    reason     text        NOT NULL CHECK (octet_length(reason) <= 4096),
    at         timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE gate_log
    DROP CONSTRAINT gate_log_cause_check,
    ADD CONSTRAINT gate_log_cause_check CHECK
        (cause IN ('verdict', 'age', 'recall', 'recheck', 'key', 'policy', 'unsigned')) NOT VALID;
CREATE INDEX gate_log_order ON gate_log (xid, id);

-- log_event: what the transparency log records besides `gate_log`; in the order of commits by (xid, id).
CREATE TABLE log_event (
    id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid   xid8        NOT NULL DEFAULT pg_current_xact_id(),
    event jsonb       NOT NULL,
    at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT log_event_event_check CHECK
        (coalesce(jsonb_typeof(event -> 'event'), '') = 'string' AND octet_length(event::text) <= 65536)
);
CREATE INDEX log_event_order ON log_event (xid, id);

-- log_leaf: the transparency log. `source` is the table that the entry is of, and `source_id` its row there.
CREATE TABLE log_leaf (
    index     bigint PRIMARY KEY CHECK (index >= 0),
    source    text   COLLATE "C" NOT NULL CHECK (octet_length(source) BETWEEN 1 AND 32),
    source_id bigint NOT NULL,
    entry     bytea  NOT NULL CHECK (octet_length(entry) BETWEEN 1 AND 65535),
    UNIQUE (source, source_id)
);

-- log_seal: the signed checkpoints of the log, as they were made.
CREATE TABLE log_seal (
    size bigint      PRIMARY KEY CHECK (size >= 0),
    root bytea       NOT NULL CHECK (octet_length(root) = 32),
    note bytea       NOT NULL CHECK (octet_length(note) BETWEEN 1 AND 65536),
    at   timestamptz NOT NULL DEFAULT now()
);

-- blob_store: the number of the directory that envelopes are in, so that no other one, and no empty one, is taken for it.
CREATE TABLE blob_store (
    id     smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    number bytea       NOT NULL CHECK (octet_length(number) = 32),
    at     timestamptz NOT NULL DEFAULT now()
);

-- turn: what one promote process does at a time. Rows, since any role could take an advisory lock. `log`: adding leaves, locked for
-- that long. `log_leader`: sealing, by the connection with this number and beginning, for as long as there is one.
CREATE TABLE turn (
    name  text        COLLATE "C" PRIMARY KEY,
    pid   integer,
    since timestamptz
);
INSERT INTO turn (name) VALUES ('log'), ('log_leader');

-- With the owner's rights: whoever recalls, reports or registers needs none on `log_event`, and writes what happened, nothing else.
CREATE FUNCTION log_recall() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO log_event (event) VALUES (jsonb_build_object(
        'event', 'recalled', 'ecosystem', NEW.ecosystem, 'package', NEW.package, 'version', NEW.version, 'file', NEW.file,
        'sha256', encode(NEW.sha256, 'hex'), 'reason', NEW.reason, 'actor', NEW.actor));
    RETURN NULL;
END
$$;
CREATE TRIGGER log_event AFTER INSERT ON recall FOR EACH ROW EXECUTE FUNCTION log_recall();

CREATE FUNCTION log_incident() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO log_event (event) VALUES (jsonb_build_object(
        'event', 'incident', 'kind', NEW.kind, 'ecosystem', NEW.ecosystem, 'package', NEW.package, 'version', NEW.version,
        'file', NEW.file, 'detail', encode(sha256(convert_to(NEW.detail::text, 'UTF8')), 'hex')));
    RETURN NULL;
END
$$;
CREATE TRIGGER log_event AFTER INSERT ON incident FOR EACH ROW EXECUTE FUNCTION log_incident();

CREATE FUNCTION log_policy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO log_event (event) VALUES (jsonb_build_object(
        'event', 'policy', 'epoch', NEW.epoch, 'sha256', encode(NEW.sha256, 'hex')));
    RETURN NULL;
END
$$;
CREATE TRIGGER log_event AFTER INSERT ON policy FOR EACH ROW EXECUTE FUNCTION log_policy();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['recall', 'incident', 'policy']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER log_event', name);
        EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', 'log_' || name, current_schema());
    END LOOP;
    FOREACH name IN ARRAY ARRAY['fetched', 'verdict_refusal', 'blob_store', 'log_event', 'log_leaf', 'log_seal']
    LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate', name);
    END LOOP;
END
$$;
