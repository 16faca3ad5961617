-- Identity providers do not tell names by case, MIMI does: a user of ours is found by its name in small letters, too. Where that is
-- more than letters of ASCII it stays empty, and so it does where another build registers somebody: those are looked at one by one.
ALTER TABLE users ADD COLUMN folded TEXT NOT NULL DEFAULT '';
UPDATE users SET folded = lower(uri) WHERE instr(uri, '%') = 0 AND uri LIKE 'mimi://%/u/%';
CREATE INDEX users_by_folded ON users (folded);

-- The identifier of a person's manager, whose name stands in what policies know of the person.
ALTER TABLE people ADD COLUMN manager TEXT NOT NULL DEFAULT '';
UPDATE people SET manager = coalesce(lower(json_extract(content, '$."urn:ietf:params:scim:schemas:extension:enterprise:2.0:User".manager.value')), '') WHERE json_valid(content);
CREATE INDEX people_by_manager ON people (manager);

-- Of somebody whose rights have ended: there only to take itself out of rooms of other hubs.
ALTER TABLE devices ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;

-- What a user's own token said when it was registered, as JSON. State 3: whom the identity provider has never named.
ALTER TABLE people ADD COLUMN claims TEXT NOT NULL DEFAULT '';
