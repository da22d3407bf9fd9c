-- A worker reports that its own key does not count, as promote does, and settles that once it does: of its own kind alone. The rest of
-- `incident` is as V0005 has it.
DO $$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['hash', 'attest', 'sumdb']
    LOOP
        EXECUTE format('CREATE POLICY %I ON incident FOR UPDATE TO %I USING (true)
                            WITH CHECK (kind = ''signing_blocked'' AND detail ->> ''kind'' = %L)',
                       kind || '_settles', 'touchstone_' || kind, kind);
    END LOOP;
END
$$;
