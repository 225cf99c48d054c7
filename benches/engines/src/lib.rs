//! Nothing: the comparison is the bench `engines`.
