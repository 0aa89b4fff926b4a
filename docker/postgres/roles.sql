-- The roles of the system: the api owns the database, the graphs keep their checkpoints in a schema of their own.
\getenv password POSTGRES_PASSWORD
\getenv checkpoints_password CHECKPOINTS_PASSWORD
CREATE ROLE orchestrator LOGIN PASSWORD :'password';
CREATE ROLE checkpoints LOGIN PASSWORD :'checkpoints_password';
CREATE DATABASE orchestrator OWNER orchestrator;
GRANT CREATE ON DATABASE orchestrator TO checkpoints;
