DELETE FROM bundle_simulations AS older USING bundle_simulations AS newer
    WHERE older.digest = newer.digest AND older.made_at < newer.made_at;
ALTER TABLE bundle_simulations DROP CONSTRAINT bundle_simulations_pkey;
ALTER TABLE bundle_simulations ADD PRIMARY KEY (digest);
