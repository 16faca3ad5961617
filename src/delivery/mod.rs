//! `delivery`
