DROP TABLE policy_pointer;
ALTER TABLE bundles DROP COLUMN approved_at;
ALTER TABLE bundles DROP COLUMN approved_by;
ALTER TABLE bundles DROP COLUMN pushed_by;
