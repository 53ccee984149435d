//! The whole program from outside: the real executable between a fake carrier and a fake model.
