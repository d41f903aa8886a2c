mod atif;
mod condensed;
mod hostile;
mod read;
mod round_trip;
mod toy;
