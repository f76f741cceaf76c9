//! The hub: a way to get data, behind one module. Ground floor.
