//! One encoder on one suite: plan, store, resume, scores, record. Imports `suite`, `encoder` and the ground floor.
