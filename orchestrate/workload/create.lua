-- SPDX-License-Identifier: Apache-2.0
-- Makes the database in which sysbench's own scripts make their tables, and takes away
-- those of a run before.
function prepare()
   local connection = sysbench.sql.driver():connect()
   connection:query("CREATE DATABASE IF NOT EXISTS sbtest")
   connection:query("DROP TABLE IF EXISTS sbtest.sbtest1")
end
