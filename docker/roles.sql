-- Who may sign in to the database. PostgreSQL's image runs this once, with psql, when it makes the database.
-- What each may do there stands in gateway/store/grants.py and is granted by `vestibule db upgrade`, run by the owner.
\set owner `cat /run/secrets/database_owner`
\set edge `cat /run/secrets/database_edge`
\set inspector `cat /run/secrets/database_inspector`
\set desk `cat /run/secrets/database_desk`
CREATE ROLE owner LOGIN CREATEROLE PASSWORD :'owner';
CREATE ROLE vestibule_edge NOLOGIN;
CREATE ROLE vestibule_inspector NOLOGIN;
CREATE ROLE vestibule_desk NOLOGIN;
CREATE ROLE edge LOGIN PASSWORD :'edge' IN ROLE vestibule_edge;
CREATE ROLE inspector LOGIN PASSWORD :'inspector' IN ROLE vestibule_inspector;
CREATE ROLE desk LOGIN PASSWORD :'desk' IN ROLE vestibule_desk;
ALTER DATABASE vestibule OWNER TO owner;
REVOKE CONNECT, TEMPORARY ON DATABASE vestibule FROM PUBLIC;
GRANT CONNECT ON DATABASE vestibule TO edge, inspector, desk;
