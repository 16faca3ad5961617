DROP TABLE people_tokens;
DROP TABLE people_members;
DROP TABLE people_groups;
DROP TABLE person_facts;
DROP TABLE people;
DROP TABLE people_head;
