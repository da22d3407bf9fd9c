-- What attestations decide: absence that a policy tolerates, the trust material behind a verdict, who signed what.
-- Plain SQL, valid on PostgreSQL 15 and 18. New columns have defaults, so that the version before still writes, and their
-- checks are NOT VALID, which binds every new row: those that exist have the default.

ALTER TABLE gate
    ADD COLUMN tolerated bigint NOT NULL DEFAULT 0, -- of the required checks, those that may answer that nothing is offered
    ADD CONSTRAINT gate_tolerated_check CHECK ((tolerated & ~required) = 0 AND (required & ~tolerated) <> 0) NOT VALID;

ALTER TABLE verdict
    ADD COLUMN trust bytea NOT NULL DEFAULT '', -- digests of 32 bytes, one after the other
    ADD CONSTRAINT verdict_trust_check CHECK (octet_length(trust) % 32 = 0 AND octet_length(trust) <= 2048) NOT VALID;

-- those whose judgement may end by itself
CREATE INDEX verdict_waived ON verdict (artifact_id, epoch) WHERE reason ->> 'code' = 'waived';
CREATE INDEX verdict_unknown_authority ON verdict (artifact_id, epoch)
    WHERE outcome = 'inconclusive' AND reason ->> 'code' IN ('attestation_refused', 'registry_signature_refused');

ALTER TABLE sighting
    ADD COLUMN attested boolean NOT NULL DEFAULT false; -- whether the upstream listed it with attestations at first sight

-- identity: who signed what, as it was accepted; releases are compared with the latest binding row of their line.
CREATE TABLE identity (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    artifact_id bigint      NOT NULL REFERENCES artifact,
    ecosystem   text        COLLATE "C" NOT NULL CHECK (octet_length(ecosystem) BETWEEN 1 AND 32),
    package     text        COLLATE "C" NOT NULL CHECK (octet_length(package) BETWEEN 1 AND 214),
    version     text        COLLATE "C" NOT NULL CHECK (octet_length(version) BETWEEN 1 AND 256),
    file        text        COLLATE "C" NOT NULL CHECK (octet_length(file) BETWEEN 1 AND 255),
    line        bigint      NOT NULL,
    identity    jsonb       NOT NULL CHECK (jsonb_typeof(identity) = 'object' AND octet_length(identity::text) <= 16384),
    rank        text        COLLATE "C" NOT NULL CHECK (rank IN ('provenance', 'trusted_publisher', 'staged_publish')),
    basis       jsonb       NOT NULL CHECK (jsonb_typeof(basis -> 'basis') = 'string' AND octet_length(basis::text) <= 16384),
    -- an older release of the same repository, asked for late, is nothing that others are compared with
    binding     boolean     NOT NULL GENERATED ALWAYS AS (basis ->> 'basis' <> 'earlier') STORED,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX identity_once ON identity (artifact_id, binding, rank, hashtextextended(identity::text, 0));
CREATE INDEX identity_line ON identity (ecosystem, package, line, id);

-- trust_material: every root and key set that verdicts ever rested on.
CREATE TABLE trust_material (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text        COLLATE "C" NOT NULL CHECK (kind IN ('sigstore_root', 'npm_keys', 'tuf_root')),
    sha256   bytea       NOT NULL,
    document bytea       NOT NULL CHECK (octet_length(document) BETWEEN 1 AND 4194304),
    origin   text        NOT NULL CHECK (octet_length(origin) BETWEEN 1 AND 1024),
    at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, sha256),
    CONSTRAINT trust_material_sha256_check CHECK (sha256 = pg_catalog.sha256(document))
);

-- tuf_file: the TUF metadata and targets that were last verified; a cache, replaced as a whole.
CREATE TABLE tuf_file (
    name       text        COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 256),
    content    bytea       NOT NULL CHECK (octet_length(content) <= 4194304),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- trust_status: what an attest process last said of the trust that it uses; one row, replaced.
CREATE TABLE trust_status (
    one          boolean     PRIMARY KEY DEFAULT true CHECK (one),
    usable       boolean     NOT NULL,
    expires_at   timestamptz, -- when the first TUF role does; absent without TUF documents
    confirmed_at timestamptz, -- when the TUF repository was last heard of
    refreshed    boolean,     -- whether there ever were TUF documents; absent without a mirror to ask for them
    reported_at  timestamptz NOT NULL DEFAULT now()
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['identity', 'trust_material']
    LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate', name);
    END LOOP;
END
$$;

-- Within an epoch, nothing more is tolerated than at its beginning.
CREATE TRIGGER gate_tolerates_no_more BEFORE UPDATE ON gate FOR EACH ROW
    WHEN (NEW.epoch = OLD.epoch AND (NEW.tolerated & ~OLD.tolerated) <> 0)
    EXECUTE FUNCTION refuse_change();
ALTER TABLE gate ENABLE ALWAYS TRIGGER gate_tolerates_no_more;
