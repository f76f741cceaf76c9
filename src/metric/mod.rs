//! Pure mathematics: ranks, correlation, bootstrap, tests, AUC. Imports no room.
