//! A circuit breaker per origin: an upstream that is down is asked again once in a while, not by everybody at once.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::error::FetchError;

/// Transient failures in a row after which nothing is sent.
const FAILURES_MAX: u32 = 5;

/// How long nothing is sent before one request may probe.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Health {
    /// The host answered, whatever it said.
    Answered,
    /// It could not be reached, was too slow, or said that it is overloaded.
    Failed,
}

impl Health {
    /// What a failed request says about its host.
    pub(crate) fn of(error: &FetchError) -> Self {
        if error.is_transient() { Self::Failed } else { Self::Answered }
    }
}

/// The breaker.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { probe_at: Instant },
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::Closed { failures: 0 }))
    }

    /// Lets a request through, or says how long to wait. When the wait is over, one caller gets through and the next
    /// wait begins: a probe that is dropped unanswered needs no clearing up.
    pub(crate) fn admit(&self) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match &mut *state {
            State::Open { probe_at } if now < *probe_at => Err(*probe_at - now),
            State::Open { probe_at } => {
                *probe_at = now + OPEN_FOR;
                Ok(())
            }
            State::Closed { .. } => Ok(()),
        }
    }

    /// Takes note of a request that was let through.
    pub(crate) fn record(&self, health: Health) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = match *state {
            State::Closed { failures } => failures,
            State::Open { .. } => FAILURES_MAX,
        };
        *state = match health {
            Health::Answered => State::Closed { failures: 0 },
            Health::Failed if failures + 1 < FAILURES_MAX => State::Closed { failures: failures + 1 },
            Health::Failed => State::Open { probe_at: Instant::now() + OPEN_FOR },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.record(Health::Failed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_five_failures_in_a_row_and_not_after_four() {
        let breaker = Breaker::new();
        fail(&breaker, 4);
        assert_eq!(breaker.admit(), Ok(()));
        fail(&breaker, 1);
        assert_eq!(breaker.admit(), Err(OPEN_FOR));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_starts_the_count_again() {
        let breaker = Breaker::new();
        fail(&breaker, 4);
        breaker.record(Health::Answered);
        fail(&breaker, 4);
        assert_eq!(breaker.admit(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn lets_one_probe_through_whose_outcome_decides() {
        let breaker = Breaker::new();
        fail(&breaker, 5);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(breaker.admit(), Err(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(breaker.admit(), Ok(()), "the probe");
        assert_eq!(breaker.admit(), Err(OPEN_FOR), "everybody else");
        breaker.record(Health::Failed);
        assert_eq!(breaker.admit(), Err(OPEN_FOR));

        tokio::time::advance(OPEN_FOR).await;
        assert_eq!(breaker.admit(), Ok(()), "the next probe");
        breaker.record(Health::Answered);
        assert_eq!(breaker.admit(), Ok(()));
        fail(&breaker, 4);
        assert_eq!(breaker.admit(), Ok(()), "closed, and counting from zero");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_does_not_keep_it_open_for_ever() {
        let breaker = Breaker::new();
        fail(&breaker, 5);
        tokio::time::advance(OPEN_FOR).await;
        assert_eq!(breaker.admit(), Ok(()));
        tokio::time::advance(OPEN_FOR).await;
        assert_eq!(breaker.admit(), Ok(()));
    }
}
