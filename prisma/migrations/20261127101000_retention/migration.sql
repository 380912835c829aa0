-- Blobs that something has stopped to refer to, and since when: what removes files for good looks here, and nowhere else.
CREATE TABLE discarded_blobs (
    sha256 text PRIMARY KEY,
    discarded_at timestamptz(3) NOT NULL
);
CREATE INDEX discarded_blobs_discarded_at_idx ON discarded_blobs (discarded_at);
ALTER TABLE discarded_blobs ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON discarded_blobs FROM lowrank_api;

-- As the owner of the table: who answers requests neither sees nor writes it.
CREATE FUNCTION lowrank_discard(blobs text[], since timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO discarded_blobs (sha256, discarded_at) SELECT DISTINCT blob, since FROM unnest(blobs) blob
    ON CONFLICT (sha256) DO UPDATE SET discarded_at = greatest(discarded_blobs.discarded_at, excluded.discarded_at);
$$;
REVOKE ALL ON FUNCTION lowrank_discard(text[], timestamptz) FROM PUBLIC;

CREATE FUNCTION lowrank_shas(files jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(file ->> 'sha256') FROM jsonb_array_elements(files) file;
$$;

CREATE FUNCTION lowrank_discard_dataset() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM lowrank_discard(ARRAY[OLD.sha256], now());
    RETURN OLD;
END $$;
CREATE TRIGGER discard_blobs AFTER DELETE ON datasets FOR EACH ROW EXECUTE FUNCTION lowrank_discard_dataset();

-- A version has waited since it was deleted, or its adapter was, and its exports with it.
CREATE FUNCTION lowrank_discard_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    since timestamptz := coalesce(OLD.deleted_at, (SELECT deleted_at FROM adapters WHERE id = OLD.adapter_id), now());
BEGIN
    PERFORM lowrank_discard(lowrank_shas(OLD.files), since);
    PERFORM lowrank_discard(lowrank_shas(files), since) FROM version_exports WHERE version_id = OLD.id;
    DELETE FROM version_exports WHERE version_id = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER discard_blobs BEFORE DELETE ON adapter_versions FOR EACH ROW EXECUTE FUNCTION lowrank_discard_version();

-- An export in whose place another has come.
CREATE FUNCTION lowrank_discard_export() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM lowrank_discard(lowrank_shas(OLD.files), now());
    RETURN NEW;
END $$;
CREATE TRIGGER discard_blobs AFTER UPDATE OF files ON version_exports FOR EACH ROW
WHEN (OLD.files IS DISTINCT FROM NEW.files) EXECUTE FUNCTION lowrank_discard_export();
