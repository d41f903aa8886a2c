mod atif;
mod hostile;
mod read;
mod round_trip;
mod toy;
