-- A login of its own for each service, which may do what the service's statements do, and no more: the owner of these tables need
-- not log in again until the next migration. Plain SQL, valid on PostgreSQL 15 and 18.
--
-- Roles belong to the whole server: they may be there already, or be made by another database's migration at this moment. They have
-- no password, so nobody logs in by one until `touchstone migrate --role-passwords` has set it. Nothing here changes a role.
--
-- A table of a later migration is granted there. Who may not do something is told by 42501, insufficient_privilege.

DO $$
DECLARE
    name    text;
    names   text[] := ARRAY['touchstone_edge', 'touchstone_hash', 'touchstone_attest', 'touchstone_sumdb',
                            'touchstone_promote', 'touchstone_console'];
    wanted  text   := 'LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE';
    missing text;
BEGIN
    FOREACH name IN ARRAY names
    LOOP
        BEGIN
            IF to_regrole(name) IS NULL THEN
                EXECUTE format('CREATE ROLE %I %s', name, wanted);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- another migration was first
            WHEN insufficient_privilege THEN
                SELECT string_agg(format('CREATE ROLE %I %s;', n, wanted), ' ') INTO missing
                FROM unnest(names) AS n WHERE to_regrole(n) IS NULL;
                RAISE EXCEPTION 'the user % may not create roles; have an administrator run this, and migrate again: %',
                    current_user, missing
                    USING ERRCODE = 'insufficient_privilege';
        END;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = name
                   AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls))
           OR pg_has_role(name, current_user, 'MEMBER') THEN
            RAISE EXCEPTION 'the role % exists and may do more than its service needs; it must be as by: CREATE ROLE % %',
                name, name, wanted
                USING ERRCODE = 'invalid_role_specification';
        END IF;
    END LOOP;
END
$$;

-- Whoever is not granted something has nothing.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', current_schema());
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', current_schema());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO touchstone_edge, touchstone_hash, touchstone_attest, touchstone_sumdb, '
                   'touchstone_promote, touchstone_console', current_schema());
END
$$;
REVOKE ALL ON FUNCTION refuse_change(), refuse_other_head(), log_recall(), log_incident(), log_policy() FROM PUBLIC;

-- Every service: whether the schema is the right one, and the policy that a gate was opened under.
GRANT SELECT ON refinery_schema_history, policy
    TO touchstone_edge, touchstone_hash, touchstone_attest, touchstone_sumdb, touchstone_promote, touchstone_console;

-- What should not have happened: every service reports it, and settles nothing but damage that it has repaired.
GRANT SELECT, INSERT (kind, ecosystem, package, version, file, artifact_id, detail, count, resolved_at),
      UPDATE (count, last_at, resolved_at) ON incident
    TO touchstone_edge, touchstone_hash, touchstone_attest, touchstone_sumdb, touchstone_promote;
ALTER TABLE incident ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON incident FOR SELECT USING (true);
CREATE POLICY services_report ON incident FOR INSERT WITH CHECK (resolved_at IS NULL OR kind = 'blob_healed');
CREATE POLICY services_count ON incident FOR UPDATE USING (true)
    WITH CHECK (resolved_at IS NULL OR kind IN ('blob_damaged', 'blob_healed'));
-- Whether promote's key counts, promote knows.
CREATE POLICY promote_settles ON incident FOR UPDATE TO touchstone_promote USING (true) WITH CHECK (kind = 'signing_blocked');
CREATE POLICY operators_settle ON incident FOR UPDATE TO touchstone_console USING (true) WITH CHECK (true);

-- edge: puts artifacts on record, as what they are and under a policy; what follows from it is not its own to say.
GRANT SELECT ON artifact, claim, evidence, gate, gate_log, fetched, verdict, verdict_refusal, promotion, recall, sighting, document,
    log_leaf, log_seal, sumdb_head, sumdb_poll, sumdb_stop, sumdb_resume, sumdb_tile TO touchstone_edge;
GRANT INSERT (ecosystem, package, version, file, sha256, sha512, size, chunk_root, chunks, upstream_url, published_at)
    ON artifact TO touchstone_edge;
GRANT INSERT (artifact_id, policy_epoch, required, veto, tolerated, hold, eligible_at, dispatch_due) ON gate TO touchstone_edge;
GRANT INSERT (artifact_id, ordinal, field, value) ON claim TO touchstone_edge;
GRANT INSERT (artifact_id, ordinal, kind, url, sha256, size, seen_at) ON evidence
    TO touchstone_edge, touchstone_attest, touchstone_sumdb;
GRANT INSERT (artifact_id, key, envelope, pack, pack_offset, pack_size) ON fetched TO touchstone_edge;
GRANT INSERT (sha256, document) ON policy TO touchstone_edge, touchstone_promote, touchstone_console;
GRANT INSERT (ecosystem, package, version, attested) ON sighting TO touchstone_edge;
GRANT INSERT (ecosystem, key, sha256, size, url, content_type, etag, last_modified),
      UPDATE (sha256, size, url, content_type, etag, last_modified, fetched_at, checked_at) ON document TO touchstone_edge;

-- Workers: each says what its own check found, of an artifact that is on record, its bytes and an epoch that was: 1.4 us a row.
GRANT SELECT ON artifact, claim, evidence, gate, verdict, verdict_refusal, attempt, dead_letter
    TO touchstone_hash, touchstone_attest, touchstone_sumdb;
-- A sidecar's check asks where the file that it is beside stands.
GRANT SELECT ON fetched, promotion, recall TO touchstone_hash;
GRANT INSERT (artifact_id, sha256, chunk_root, epoch, check_kind, check_mask, check_revision, policy_epoch, outcome, reason, evidence,
              trust, service, software, decided_at, key, envelope, pack, pack_offset, pack_size, attempt) ON verdict
    TO touchstone_hash, touchstone_attest, touchstone_sumdb;
GRANT INSERT (artifact_id, epoch, check_kind, delivery, class, detail, service) ON attempt
    TO touchstone_hash, touchstone_attest, touchstone_sumdb;
GRANT INSERT (stream, consumer, stream_seq, deliveries, check_kind, artifact_id, epoch, detail, resolved_at) ON dead_letter
    TO touchstone_hash, touchstone_attest, touchstone_sumdb, touchstone_promote;

-- Evidence is of the service that fetches it.
ALTER TABLE evidence ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON evidence FOR SELECT USING (true);
CREATE POLICY entries ON evidence FOR INSERT TO touchstone_edge WITH CHECK (kind = 'metadata_entry');
CREATE POLICY attestations ON evidence FOR INSERT TO touchstone_attest WITH CHECK (kind = 'attestations');
CREATE POLICY lookups ON evidence FOR INSERT TO touchstone_sumdb WITH CHECK (kind = 'sumdb_lookup');

ALTER TABLE verdict ENABLE ROW LEVEL SECURITY;
ALTER TABLE attempt ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON verdict FOR SELECT USING (true);
CREATE POLICY everybody_reads ON attempt FOR SELECT USING (true);
CREATE POLICY everybody_reads ON dead_letter FOR SELECT USING (true);
CREATE POLICY promote_reports ON dead_letter FOR INSERT TO touchstone_promote WITH CHECK (true);
CREATE POLICY operators_settle ON dead_letter FOR UPDATE TO touchstone_promote, touchstone_console USING (true) WITH CHECK (true);
DO $$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['hash', 'attest', 'sumdb']
    LOOP
        EXECUTE format('CREATE POLICY %I ON verdict FOR INSERT TO %I WITH CHECK (check_kind = %L AND service = %L AND EXISTS (
                            SELECT FROM artifact JOIN gate ON gate.artifact_id = artifact.id
                            WHERE artifact.id = verdict.artifact_id AND artifact.sha256 = verdict.sha256
                              AND verdict.epoch <= gate.epoch))',
                       kind || '_of_its_own', 'touchstone_' || kind, kind, kind);
        EXECUTE format('CREATE POLICY %I ON attempt FOR INSERT TO %I WITH CHECK (check_kind = %L AND service = %L)',
                       kind || '_of_its_own', 'touchstone_' || kind, kind, kind);
        EXECUTE format('CREATE POLICY %I ON dead_letter FOR INSERT TO %I WITH CHECK (check_kind = %L)',
                       kind || '_of_its_own', 'touchstone_' || kind, kind);
    END LOOP;
END
$$;

-- attest: who signed what, and whose signatures count.
GRANT SELECT ON sighting, identity, trust_material, tuf_file, trust_status TO touchstone_attest;
GRANT INSERT (artifact_id, ecosystem, package, version, file, line, identity, rank, basis) ON identity TO touchstone_attest;
GRANT INSERT (usable, expires_at, confirmed_at, refreshed),
      UPDATE (usable, expires_at, confirmed_at, refreshed, reported_at) ON trust_status TO touchstone_attest;
GRANT INSERT (kind, sha256, document, origin) ON trust_material TO touchstone_attest, touchstone_console;
GRANT INSERT (name, content), UPDATE (content, updated_at), DELETE ON tuf_file TO touchstone_attest, touchstone_console;

-- What was held for the want of an authority that is known now is judged anew. A gate is not attest's to change, so the owner does
-- it, and only that: never what is servable, recalled or denied.
CREATE FUNCTION reopen_unknown_authorities(known bytea[], most bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    reopened bigint;
    told     bigint;
BEGIN
    WITH locked AS MATERIALIZED (
        SELECT gate.artifact_id, gate.epoch, pending
        FROM (
            -- the condition of the index `verdict_unknown_authority`; a gate is found once
            SELECT DISTINCT artifact_id, epoch, check_mask FROM verdict
            WHERE outcome = 'inconclusive' AND reason ->> 'code' IN ('attestation_refused', 'registry_signature_refused')
              AND check_kind = 'attest' AND NOT EXISTS (SELECT FROM verdict_refusal WHERE verdict_id = verdict.id)
              AND EXISTS (
                  SELECT FROM generate_series(0, octet_length(trust) / 32 - 1) AS n
                  WHERE substr(trust, n * 32 + 1, 32) <> ALL (known))
        ) AS refused
        JOIN gate ON gate.artifact_id = refused.artifact_id AND gate.epoch = refused.epoch
        WHERE (required & undecided & ~ok & check_mask) <> 0 AND (deny & veto) = 0 AND (hold & 2) = 0
        ORDER BY gate.artifact_id
        LIMIT least(most, 1000)
        FOR NO KEY UPDATE OF gate SKIP LOCKED
    ), begun AS (
        UPDATE gate
        SET epoch = gate.epoch + 1, ok = 0, deny = 0, undecided = 0, dispatch_due = now(), dispatch_n = 0, unsigned = false
        FROM locked WHERE gate.artifact_id = locked.artifact_id
    ), logged AS (
        INSERT INTO gate_log (artifact_id, epoch, was, state, cause)
        SELECT artifact_id, epoch + 1, CASE WHEN pending THEN 'verifying' ELSE 'held' END, 'fetched', 'recheck' FROM locked
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM locked), (SELECT count(*) FROM logged) INTO reopened, told;
    IF told <> reopened THEN
        RAISE EXCEPTION '% gates are reopened, and % of them are logged', reopened, told USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN reopened;
END
$$;
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION reopen_unknown_authorities SET search_path = %I, pg_temp', current_schema());
END
$$;
REVOKE ALL ON FUNCTION reopen_unknown_authorities FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reopen_unknown_authorities TO touchstone_attest;

-- sumdb: heads that move forward, stops, and what ends by itself; a fork is ended by an operator alone.
GRANT SELECT ON sumdb_head, sumdb_poll, sumdb_stop, sumdb_resume, sumdb_tile TO touchstone_sumdb;
GRANT INSERT (database, size, root, note), UPDATE (size, root, note, advanced_at) ON sumdb_head TO touchstone_sumdb;
GRANT INSERT (database, latest_size, largest_size, behind_size, behind_since),
      UPDATE (latest_size, largest_size, polled_at, grown_at, behind_size, behind_since) ON sumdb_poll TO touchstone_sumdb;
GRANT INSERT (database, kind, ours_size, ours_root, ours_note, theirs_size, theirs_root, theirs_note, detail) ON sumdb_stop
    TO touchstone_sumdb;
GRANT INSERT (stop_id, reason, discarded_size, discarded_root, discarded_note) ON sumdb_resume
    TO touchstone_sumdb, touchstone_console;
GRANT INSERT (database, level, index, hashes), UPDATE (hashes), DELETE ON sumdb_tile TO touchstone_sumdb;
ALTER TABLE sumdb_resume ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON sumdb_resume FOR SELECT USING (true);
CREATE POLICY what_ends_by_itself ON sumdb_resume FOR INSERT TO touchstone_sumdb
    WITH CHECK (discarded_size IS NULL AND (SELECT kind FROM sumdb_stop WHERE id = stop_id) <> 'fork');
CREATE POLICY operators_resume ON sumdb_resume FOR INSERT TO touchstone_console WITH CHECK (true);

-- promote: moves gates, and alone writes promotions, refusals and the log.
GRANT SELECT ON artifact, claim, evidence, gate, fetched, verdict, verdict_refusal, promotion, gate_log, attempt, dead_letter, sighting,
    recall, blob_store, log_event, log_leaf, log_seal TO touchstone_promote;
GRANT INSERT (serial, artifact_id, epoch, policy_epoch, sha256, size, chunk_root, promoted_at, rests_on, key, envelope, pack,
              pack_offset, pack_size) ON promotion TO touchstone_promote;
GRANT USAGE, UPDATE ON SEQUENCE promotion_serial_seq TO touchstone_promote;
GRANT INSERT (verdict_id, code, reason) ON verdict_refusal TO touchstone_promote;
GRANT INSERT (number) ON blob_store TO touchstone_promote;
GRANT INSERT (event) ON log_event TO touchstone_promote;
GRANT INSERT (index, source, source_id, entry) ON log_leaf TO touchstone_promote;
GRANT INSERT (size, root, note) ON log_seal TO touchstone_promote;
GRANT SELECT, UPDATE (pid, since) ON turn TO touchstone_promote;

-- A transaction that any role leaves open, in any database of the server, hides from the sealer what comes after it. Promote ends those
-- of our roles. Where the owner may not see or end them (pg_read_all_stats, pg_signal_backend), promotion stops until somebody does.
CREATE FUNCTION end_transactions(older_than interval) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE starts_with(usename, 'touchstone_') AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - older_than
    $$;
REVOKE ALL ON FUNCTION end_transactions(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_transactions(interval) TO touchstone_promote;

-- console, and an operator's commands: reads everything, recalls, rechecks, settles.
DO $$
BEGIN
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO touchstone_console', current_schema());
END
$$;
GRANT UPDATE (grown_at, behind_since), DELETE ON sumdb_poll TO touchstone_console;
GRANT DELETE ON sumdb_head, sumdb_tile TO touchstone_console;
GRANT UPDATE (resolved_at) ON incident TO touchstone_console;

-- Both: a recall, also one that `log recover` finds in the published log; the end of an epoch; what was given up on and is answered.
GRANT INSERT (ecosystem, package, version, file, sha256, reason, actor) ON recall TO touchstone_promote, touchstone_console;
GRANT INSERT (artifact_id, epoch, was, state, cause) ON gate_log TO touchstone_promote, touchstone_console;
GRANT UPDATE (policy_epoch, epoch, required, veto, tolerated, ok, deny, undecided, hold, eligible_at, dispatch_due, dispatch_n, unsigned)
    ON gate TO touchstone_promote, touchstone_console;
GRANT UPDATE (resolved_at) ON dead_letter TO touchstone_promote, touchstone_console;

-- An operator begins an epoch, and never says in it that a check has passed.
CREATE TRIGGER gate_approved_by_promote BEFORE UPDATE OF ok ON gate FOR EACH ROW
    WHEN ((NEW.ok & ~OLD.ok) <> 0 AND current_user = 'touchstone_console')
    EXECUTE FUNCTION refuse_change();
ALTER TABLE gate ENABLE ALWAYS TRIGGER gate_approved_by_promote;
