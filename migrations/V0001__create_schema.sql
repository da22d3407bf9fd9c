-- The whole schema of the first release. Plain SQL, valid on PostgreSQL 15 and 18.
--
-- Text is COLLATE "C" where it is a key: its order must not change with the operating system's locale data.
-- `verdict`, `gate_log` and `attempt` have no foreign key: artifacts are never deleted, the statements that insert
-- join them, and a foreign key would lock the artifact's row for every verdict.

-- policy: every policy document that was ever in force; verdicts, gates and promotions name its epoch.
CREATE TABLE policy (
    epoch         integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256        bytea       NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    document      text        NOT NULL CHECK (octet_length(document) <= 16777216),
    registered_at timestamptz NOT NULL DEFAULT now()
);

-- artifact: one coordinate and the bytes that were first seen for it, for ever.
CREATE TABLE artifact (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ecosystem    text        COLLATE "C" NOT NULL CHECK (ecosystem IN ('cargo', 'npm', 'pypi')),
    package      text        COLLATE "C" NOT NULL CHECK (octet_length(package) BETWEEN 1 AND 214),
    version      text        COLLATE "C" NOT NULL CHECK (octet_length(version) BETWEEN 1 AND 256),
    file         text        COLLATE "C" NOT NULL CHECK (octet_length(file) BETWEEN 1 AND 255),
    sha256       bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    sha512       bytea       NOT NULL CHECK (octet_length(sha512) = 64),
    size         bigint      NOT NULL CHECK (size BETWEEN 0 AND 68719476736),
    chunk_root   bytea       NOT NULL CHECK (octet_length(chunk_root) = 32),
    chunks       bytea       NOT NULL,
    upstream_url text        NOT NULL CHECK (octet_length(upstream_url) BETWEEN 1 AND 8192),
    published_at timestamptz,
    fetched_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (ecosystem, package, version, file),
    CONSTRAINT artifact_chunks_check CHECK (octet_length(chunks) = 32 * ((size + 262143) / 262144))
);
CREATE INDEX artifact_sha256 ON artifact (sha256);

-- claim: what the upstream declares about an artifact, byte for byte; unverified.
CREATE TABLE claim (
    artifact_id bigint   NOT NULL REFERENCES artifact,
    ordinal     smallint NOT NULL CHECK (ordinal >= 0),
    field       text     NOT NULL CHECK (octet_length(field) BETWEEN 1 AND 64),
    value       text     NOT NULL CHECK (octet_length(value) <= 8192),
    PRIMARY KEY (artifact_id, ordinal)
);

-- evidence: raw bytes that somebody served us about an artifact; the bytes are in the blob store.
CREATE TABLE evidence (
    artifact_id bigint      NOT NULL REFERENCES artifact,
    ordinal     smallint    NOT NULL CHECK (ordinal >= 0),
    kind        text        NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 64),
    url         text        NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 8192),
    sha256      bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    size        bigint      NOT NULL CHECK (size >= 0),
    seen_at     timestamptz NOT NULL,
    PRIMARY KEY (artifact_id, ordinal)
);

-- gate: which checks an artifact needs and which have answered, as bit masks; nothing can set `servable`.
-- A pending row is its own outbox entry: while `pending`, `dispatch_due` says when its checks are asked again.
CREATE TABLE gate (
    artifact_id  bigint      PRIMARY KEY REFERENCES artifact,
    policy_epoch integer     NOT NULL,
    epoch        integer     NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    required     bigint      NOT NULL CHECK (required > 0),
    veto         bigint      NOT NULL,
    ok           bigint      NOT NULL DEFAULT 0,
    deny         bigint      NOT NULL DEFAULT 0,
    undecided    bigint      NOT NULL DEFAULT 0,
    hold         bigint      NOT NULL DEFAULT 0, -- 1: too young, 2: recalled; any other bit holds as well
    eligible_at  timestamptz,
    servable     boolean     NOT NULL GENERATED ALWAYS AS
        (required > 0 AND (ok & required) = required AND (deny & veto) = 0 AND hold = 0) STORED,
    pending      boolean     NOT NULL GENERATED ALWAYS AS
        ((required & ~(ok | deny | undecided)) <> 0 AND (deny & veto) = 0 AND (hold & 2) = 0) STORED,
    dispatch_due timestamptz NOT NULL,
    dispatch_n   smallint    NOT NULL DEFAULT 0 CHECK (dispatch_n >= 0),
    CONSTRAINT gate_veto_check CHECK ((required & ~veto) = 0),
    CONSTRAINT gate_age_check CHECK ((hold & 1) = 0 OR eligible_at IS NOT NULL)
) WITH (fillfactor = 60);
CREATE INDEX gate_pending ON gate (dispatch_due) WHERE pending;
CREATE INDEX gate_aging ON gate (eligible_at) WHERE (hold & 1) <> 0;

-- verdict: what a worker service found about some bytes; all of history, whether it counted or not.
CREATE TABLE verdict (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    artifact_id    bigint      NOT NULL,
    sha256         bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    chunk_root     bytea       CHECK (octet_length(chunk_root) = 32),
    epoch          integer     NOT NULL CHECK (epoch >= 0),
    check_kind     text        COLLATE "C" NOT NULL,
    check_mask     bigint      NOT NULL,
    check_revision integer     NOT NULL,
    policy_epoch   integer     NOT NULL,
    outcome        text        COLLATE "C" NOT NULL CHECK (outcome IN ('pass', 'fail', 'not_offered', 'inconclusive')),
    reason         jsonb       NOT NULL,
    evidence       bytea       NOT NULL, -- digests of 32 bytes, one after the other
    service        text        NOT NULL CHECK (octet_length(service) BETWEEN 1 AND 64),
    software       text        NOT NULL CHECK (octet_length(software) BETWEEN 1 AND 128),
    decided_at     timestamptz NOT NULL, -- the worker's clock; nothing is decided by it
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    -- the outcome is part of the key: a later failure is never swallowed by an earlier pass
    UNIQUE (artifact_id, check_kind, check_revision, epoch, policy_epoch, outcome),
    CONSTRAINT verdict_check_kind_check CHECK
        (check_mask = CASE check_kind WHEN 'hash' THEN 1 WHEN 'attest' THEN 2 WHEN 'sumdb' THEN 4 WHEN 'peer' THEN 8 ELSE 0 END
         AND check_mask > 0),
    CONSTRAINT verdict_reason_check CHECK (octet_length(reason::text) <= 16384),
    CONSTRAINT verdict_evidence_check CHECK (octet_length(evidence) % 32 = 0 AND octet_length(evidence) <= 2048)
);
CREATE INDEX verdict_fail ON verdict (recorded_at) WHERE outcome = 'fail';

-- promotion: the permission to serve, written once per artifact and epoch from a grant.
CREATE TABLE promotion (
    serial       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artifact_id  bigint      NOT NULL REFERENCES artifact,
    epoch        integer     NOT NULL,
    policy_epoch integer     NOT NULL,
    sha256       bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    size         bigint      NOT NULL CHECK (size >= 0),
    chunk_root   bytea       NOT NULL CHECK (octet_length(chunk_root) = 32),
    promoted_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (artifact_id, epoch)
);

-- gate_log: every change of an artifact's state, in the order of commits by (xid, id).
CREATE TABLE gate_log (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    artifact_id  bigint      NOT NULL,
    epoch        integer     NOT NULL,
    was          text        NOT NULL CHECK (octet_length(was) BETWEEN 1 AND 32),
    state        text        NOT NULL CHECK (octet_length(state) BETWEEN 1 AND 32),
    cause        text        NOT NULL CHECK (cause IN ('verdict', 'age', 'recall', 'recheck')),
    at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gate_log_artifact ON gate_log (artifact_id);

-- attempt: a check that could not answer; never a verdict.
CREATE TABLE attempt (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artifact_id bigint      NOT NULL,
    epoch       integer     NOT NULL,
    check_kind  text        NOT NULL CHECK (octet_length(check_kind) BETWEEN 1 AND 64),
    delivery    bigint      NOT NULL,
    class       text        NOT NULL CHECK (class IN ('retry', 'poison')),
    detail      text        NOT NULL CHECK (octet_length(detail) <= 4096),
    service     text        NOT NULL CHECK (octet_length(service) BETWEEN 1 AND 64),
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attempt_artifact ON attempt (artifact_id);

-- dead_letter: a message that was given up on; its artifact stays as it is.
CREATE TABLE dead_letter (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream      text        NOT NULL CHECK (octet_length(stream) BETWEEN 1 AND 128),
    consumer    text        NOT NULL CHECK (octet_length(consumer) BETWEEN 1 AND 128),
    stream_seq  bigint      NOT NULL,
    deliveries  bigint      NOT NULL,
    check_kind  text        CHECK (octet_length(check_kind) BETWEEN 1 AND 64),
    artifact_id bigint,
    epoch       integer,
    detail      text        NOT NULL CHECK (octet_length(detail) <= 4096),
    at          timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    -- an advisory may come twice; after a loss of the stream, numbers start again
    UNIQUE NULLS NOT DISTINCT (stream, consumer, stream_seq, artifact_id, epoch)
);
CREATE INDEX dead_letter_artifact ON dead_letter (artifact_id);
CREATE INDEX dead_letter_open ON dead_letter (id) WHERE resolved_at IS NULL;

-- incident: something that should not have happened; the same one within an hour counts up.
CREATE TABLE incident (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        COLLATE "C" NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 64),
    ecosystem   text        COLLATE "C" NOT NULL CHECK (octet_length(ecosystem) BETWEEN 1 AND 32),
    package     text        COLLATE "C" NOT NULL CHECK (octet_length(package) BETWEEN 1 AND 214),
    version     text        COLLATE "C" CHECK (octet_length(version) BETWEEN 1 AND 256),
    file        text        COLLATE "C" CHECK (octet_length(file) BETWEEN 1 AND 255),
    artifact_id bigint,
    detail      jsonb       NOT NULL CHECK (octet_length(detail::text) <= 16384),
    hour        timestamptz NOT NULL DEFAULT date_bin('1 hour', now(), 'epoch'),
    count       bigint      NOT NULL DEFAULT 1 CHECK (count > 0),
    at          timestamptz NOT NULL DEFAULT now(),
    last_at     timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);
CREATE UNIQUE INDEX incident_once ON incident
    (kind, ecosystem, package, version, file, hour, hashtextextended(detail::text, 0)) NULLS NOT DISTINCT;
CREATE INDEX incident_about ON incident (ecosystem, package);
CREATE INDEX incident_open ON incident (id) WHERE resolved_at IS NULL;

-- document: the upstream's metadata as it was last fetched, by address; the bytes are in the blob store.
CREATE TABLE document (
    ecosystem     text        COLLATE "C" NOT NULL CHECK (octet_length(ecosystem) BETWEEN 1 AND 32),
    key           text        COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 1024),
    sha256        bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    size          bigint      NOT NULL CHECK (size >= 0),
    url           text        NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 8192),
    content_type  text        NOT NULL CHECK (octet_length(content_type) <= 256),
    etag          text        CHECK (octet_length(etag) <= 1024),
    last_modified text        CHECK (octet_length(last_modified) <= 256),
    fetched_at    timestamptz NOT NULL DEFAULT now(),
    checked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ecosystem, key)
);

-- sighting: when a version was first listed to us, by our clock; minimum ages count from it.
CREATE TABLE sighting (
    ecosystem  text        COLLATE "C" NOT NULL CHECK (octet_length(ecosystem) BETWEEN 1 AND 32),
    package    text        COLLATE "C" NOT NULL CHECK (octet_length(package) BETWEEN 1 AND 214),
    version    text        COLLATE "C" NOT NULL CHECK (octet_length(version) BETWEEN 1 AND 256),
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ecosystem, package, version)
);

-- recall: an operator's word that artifacts must not be served any more, whenever they come.
CREATE TABLE recall (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ecosystem text        COLLATE "C" CHECK (octet_length(ecosystem) BETWEEN 1 AND 32),
    package   text        COLLATE "C" CHECK (octet_length(package) BETWEEN 1 AND 214),
    version   text        COLLATE "C" CHECK (octet_length(version) BETWEEN 1 AND 256),
    file      text        COLLATE "C" CHECK (octet_length(file) BETWEEN 1 AND 255),
    sha256    bytea       CHECK (octet_length(sha256) = 32),
    reason    text        NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 4096),
    actor     text        NOT NULL CHECK (octet_length(actor) BETWEEN 1 AND 256),
    at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT recall_target_check CHECK
        ((sha256 IS NULL AND ecosystem IS NOT NULL AND package IS NOT NULL)
         OR (sha256 IS NOT NULL AND ecosystem IS NULL AND package IS NULL AND version IS NULL AND file IS NULL))
);
CREATE INDEX recall_package ON recall (ecosystem, package);
CREATE INDEX recall_sha256 ON recall (sha256);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: history is only ever added to', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

-- ENABLE ALWAYS: these also fire under session_replication_role = replica.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['policy', 'artifact', 'claim', 'evidence', 'verdict', 'promotion', 'gate_log', 'attempt', 'sighting', 'recall']
    LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate', name);
    END LOOP;
END
$$;

-- A gate is never deleted, and within an epoch its masks only grow: a denial or a recall is never forgotten.
CREATE TRIGGER gate_kept BEFORE DELETE ON gate FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER gate_kept_truncate BEFORE TRUNCATE ON gate FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER gate_only_grows BEFORE UPDATE ON gate FOR EACH ROW
    WHEN (NEW.artifact_id <> OLD.artifact_id OR NEW.epoch < OLD.epoch
          OR (NEW.epoch = OLD.epoch
              AND ((OLD.ok & ~NEW.ok) | (OLD.deny & ~NEW.deny) | (OLD.undecided & ~NEW.undecided)
                   | (OLD.hold & ~NEW.hold & ~1::bigint)) <> 0))
    EXECUTE FUNCTION refuse_change();
ALTER TABLE gate ENABLE ALWAYS TRIGGER gate_kept, ENABLE ALWAYS TRIGGER gate_kept_truncate, ENABLE ALWAYS TRIGGER gate_only_grows;
