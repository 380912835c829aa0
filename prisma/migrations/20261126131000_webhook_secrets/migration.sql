-- After a change of secret deliveries are signed with both for a while. The release before signs with the new one alone.
ALTER TABLE webhooks
    ADD COLUMN previous_secret text,
    ADD COLUMN previous_secret_until timestamptz(3),
    ADD CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL));
