//! Segments of an SMS.
