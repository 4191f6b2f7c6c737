//! The client against servers on loopback.

#[cfg(test)]
mod exchange;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod ssrf;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
