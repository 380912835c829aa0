-- The sizes of a base model's decoder, by which a recipe is checked and its memory predicted before anything runs.
ALTER TABLE base_models ADD COLUMN decoder jsonb;
