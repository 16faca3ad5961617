DROP TABLE bundle_simulations;
DROP TABLE policy_shadows;
