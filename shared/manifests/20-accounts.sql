-- The last script of a first start: where the account at the end answers, all of the start was done.
--
-- The user's account (made by the image from MARIADB_USER) may do everything in every schema it likes to
-- make, and nothing global. MariaDB takes the most specific row that fits a schema's name, and only that
-- one: so the rows for the server's own schemas, which give next to nothing, shadow the one for all.
-- It may also change its own password, which MariaDB forbids nobody: then its data_source is no longer good.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,
  CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, TRIGGER, DELETE HISTORY
  ON `%`.* TO 'notebook'@'%';
GRANT SHOW VIEW ON `mysql`.* TO 'notebook'@'%';
GRANT SHOW VIEW ON `sys`.* TO 'notebook'@'%';
GRANT SHOW VIEW ON `performance\_schema`.* TO 'notebook'@'%';

-- Who asks for evidence: the container's own user, through the server's socket, without a password.
CREATE OR REPLACE USER 'mysql'@'localhost' IDENTIFIED VIA unix_socket;
GRANT PROCESS ON *.* TO 'mysql'@'localhost';
