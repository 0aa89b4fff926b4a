CREATE TABLE conversions (
    id INTEGER PRIMARY KEY,
    kilometres TEXT NOT NULL,
    miles REAL NOT NULL
);
