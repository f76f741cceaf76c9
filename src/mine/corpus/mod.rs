//! Corpora as data: what is in one, where it lies, under which licence, and how it is read.
