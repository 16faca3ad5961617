-- Every simulation of a bundle that is kept, and not the latest alone: one that says less does not take the place of another.
ALTER TABLE bundle_simulations DROP CONSTRAINT bundle_simulations_pkey;
ALTER TABLE bundle_simulations ADD PRIMARY KEY (digest, made_at);
