mod atif;
mod read;
mod round_trip;
mod toy;
