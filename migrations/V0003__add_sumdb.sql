-- What the Go checksum database decides: artifacts of Go, the signed tree head that only moves forward, why a database is
-- stopped, and its tiles. Plain SQL, valid on PostgreSQL 15 and 18.

-- The set only grows, so every row that exists satisfies it: NOT VALID binds the new ones, and nothing is scanned.
ALTER TABLE artifact
    DROP CONSTRAINT artifact_ecosystem_check,
    ADD CONSTRAINT artifact_ecosystem_check CHECK (ecosystem IN ('cargo', 'go', 'npm', 'pypi')) NOT VALID;

-- A database is named by its key: the key's name, a plus sign and the eight hexadecimal digits of its hash.

-- sumdb_head: the largest signed tree that was ever accepted of a database; it never shrinks, and never changes at a size.
CREATE TABLE sumdb_head (
    database    text        COLLATE "C" PRIMARY KEY CHECK (octet_length(database) BETWEEN 1 AND 512),
    size        bigint      NOT NULL CHECK (size >= 0),
    root        bytea       NOT NULL CHECK (octet_length(root) = 32),
    note        bytea       NOT NULL CHECK (octet_length(note) BETWEEN 1 AND 2097152), -- as it was signed
    advanced_at timestamptz NOT NULL DEFAULT now()
);

-- sumdb_poll: what a database last said is its latest tree, and since when that is stale; one row each, replaced.
CREATE TABLE sumdb_poll (
    database     text        COLLATE "C" PRIMARY KEY CHECK (octet_length(database) BETWEEN 1 AND 512),
    latest_size  bigint      NOT NULL CHECK (latest_size >= 0),
    largest_size bigint      NOT NULL CHECK (largest_size >= latest_size),
    polled_at    timestamptz NOT NULL DEFAULT now(),
    grown_at     timestamptz NOT NULL DEFAULT now(), -- when the largest size was first seen
    -- Absent unless the latest tree is smaller than the head that it was compared with: how large that was when this began, and
    -- when. It begins anew once the latest tree is as large as that, however large our head is by then.
    behind_size  bigint      CHECK (behind_size > latest_size),
    behind_since timestamptz,
    CONSTRAINT sumdb_poll_behind_check CHECK (num_nulls(behind_size, behind_since) IN (0, 2))
);

-- sumdb_stop: why nothing is decided by a database; it is in force until a row of sumdb_resume names it.
CREATE TABLE sumdb_stop (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    database    text        COLLATE "C" NOT NULL CHECK (octet_length(database) BETWEEN 1 AND 512),
    kind        text        COLLATE "C" NOT NULL CHECK (kind IN ('fork', 'rollback', 'freeze')),
    ours_size   bigint      NOT NULL CHECK (ours_size >= 0),
    ours_root   bytea       NOT NULL CHECK (octet_length(ours_root) = 32),
    ours_note   bytea       NOT NULL CHECK (octet_length(ours_note) BETWEEN 1 AND 2097152),
    theirs_size bigint      NOT NULL CHECK (theirs_size >= 0),
    theirs_root bytea       NOT NULL CHECK (octet_length(theirs_root) = 32),
    theirs_note bytea       NOT NULL CHECK (octet_length(theirs_note) BETWEEN 1 AND 2097152),
    detail      text        NOT NULL CHECK (octet_length(detail) <= 4096),
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sumdb_stop_database ON sumdb_stop (database, id);

-- sumdb_resume: who ended a stop and why, and the head that was forgotten with it.
CREATE TABLE sumdb_resume (
    stop_id        bigint      PRIMARY KEY REFERENCES sumdb_stop,
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    reason         text        NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 4096),
    discarded_size bigint      CHECK (discarded_size >= 0),
    discarded_root bytea       CHECK (octet_length(discarded_root) = 32),
    discarded_note bytea       CHECK (octet_length(discarded_note) BETWEEN 1 AND 2097152),
    at             timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sumdb_resume_discarded_check CHECK (num_nulls(discarded_size, discarded_root, discarded_note) IN (0, 3))
);

-- sumdb_tile: the widest authenticated tile of hashes at each place of a database's tree; a cache.
CREATE TABLE sumdb_tile (
    database text     COLLATE "C" NOT NULL CHECK (octet_length(database) BETWEEN 1 AND 512),
    level    smallint NOT NULL CHECK (level BETWEEN 0 AND 63),
    index    bigint   NOT NULL CHECK (index >= 0),
    hashes   bytea    NOT NULL CHECK (octet_length(hashes) % 32 = 0 AND octet_length(hashes) BETWEEN 32 AND 8192),
    PRIMARY KEY (database, level, index)
);
ALTER TABLE sumdb_tile ALTER COLUMN hashes SET STORAGE EXTERNAL; -- digests do not compress

CREATE FUNCTION refuse_other_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (
            SELECT FROM sumdb_resume JOIN sumdb_stop ON sumdb_stop.id = sumdb_resume.stop_id
            WHERE sumdb_stop.database = OLD.database AND xid = pg_current_xact_id()
              AND discarded_size = OLD.size AND discarded_root = OLD.root AND discarded_note = OLD.note
        ) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'the head of % is forgotten only when a resume records it', OLD.database
            USING ERRCODE = 'restrict_violation';
    ELSIF NEW.database <> OLD.database THEN
        RAISE EXCEPTION 'the head of % is not that of %', OLD.database, NEW.database
            USING ERRCODE = 'restrict_violation';
    ELSIF NEW.size < OLD.size THEN
        RAISE EXCEPTION 'the head of % never goes back: % is smaller than %', OLD.database, NEW.size, OLD.size
            USING ERRCODE = 'restrict_violation';
    ELSIF NEW.size = OLD.size AND NEW.root <> OLD.root THEN
        RAISE EXCEPTION 'the head of % never changes: size % has another root', OLD.database, OLD.size
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_forward BEFORE UPDATE OR DELETE ON sumdb_head FOR EACH ROW EXECUTE FUNCTION refuse_other_head();
CREATE TRIGGER only_forward_truncate BEFORE TRUNCATE ON sumdb_head FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE sumdb_head ENABLE ALWAYS TRIGGER only_forward, ENABLE ALWAYS TRIGGER only_forward_truncate;

-- A tile only gets wider, and keeps the hashes that it has.
CREATE TRIGGER only_wider BEFORE UPDATE ON sumdb_tile FOR EACH ROW
    WHEN (NEW.database <> OLD.database OR NEW.level <> OLD.level OR NEW.index <> OLD.index
          OR substring(NEW.hashes FOR octet_length(OLD.hashes)) <> OLD.hashes)
    EXECUTE FUNCTION refuse_change();
ALTER TABLE sumdb_tile ENABLE ALWAYS TRIGGER only_wider;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['sumdb_stop', 'sumdb_resume']
    LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only, ENABLE ALWAYS TRIGGER append_only_truncate', name);
    END LOOP;
END
$$;
