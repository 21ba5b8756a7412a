//! Who is signed in: a table in memory, by the fingerprints of tokens. Pure: the time is given.

use std::collections::BTreeMap;

use crate::domain::user::{Ended, Factor};
use crate::kernel::{Mrn, Tick, UserId};

/// A session ends after a shift, whatever happens in it.
pub(super) const LONGEST_MS: u64 = 12 * 3_600_000;
/// Sessions of one user at a time; with one more the oldest ends.
const OF_USER: usize = 16;
/// Sessions of all.
const OF_ALL: usize = 50_000;

/// The fingerprint of a session's token.
pub(super) type Key = [u8; 32];

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Its id in the log.
    pub(super) id: String,
    /// Who.
    pub(super) user: UserId,
    /// At which station.
    pub(super) station: Option<String>,
    /// How they proved who they are.
    pub(super) factors: Vec<Factor>,
    /// Since when.
    pub(super) began: Tick,
    /// When something was last done in it.
    pub(super) used: Tick,
    /// How long nothing may be done in it.
    pub(super) idle_ms: u64,
}

impl Session {
    fn ended(&self, now: Tick) -> Option<Ended> {
        if now.ms_since(self.began) >= LONGEST_MS {
            return Some(Ended::TooOld);
        }
        (now.ms_since(self.used) >= self.idle_ms).then_some(Ended::Idle)
    }
}

/// A session that ended, and why.
pub(super) type Gone = (Session, Ended);

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    kept: BTreeMap<Key, Session>,
    /// Records that are open in an emergency, by who opened them: they stay open at another station, and end by themselves.
    emergencies: BTreeMap<(UserId, Mrn), Opened>,
}

/// A record that is open in an emergency.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Opened {
    id: String,
    until: Tick,
}

impl Sessions {
    /// Begins a session; gives those that end with it: another one at the same station, the oldest of too many.
    pub(super) fn begin(&mut self, key: Key, session: Session) -> Vec<Gone> {
        let at_station = |kept: &Session| session.station.is_some() && kept.station == session.station;
        let mut gone = self.end_where(|_, kept| at_station(kept), Ended::Replaced);
        let mut own: Vec<(Tick, Key)> = self.kept.iter().filter(|(_, kept)| kept.user == session.user).map(|(key, kept)| (kept.used, *key)).collect();
        own.sort_unstable();
        let surplus = (own.len() + 1).saturating_sub(OF_USER);
        let mut ending: Vec<Key> = own.into_iter().take(surplus).map(|(_, key)| key).collect();
        if self.kept.len() >= OF_ALL {
            ending.extend(self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key));
        }
        gone.extend(self.end_where(|key, _| ending.contains(key), Ended::Replaced));
        self.kept.insert(key, session);
        gone
    }

    /// The session of a token, while it lasts; `is_use` when somebody did something, and no page asked by itself.
    pub(super) fn get(&mut self, key: &Key, now: Tick, is_use: bool) -> Option<&mut Session> {
        let session = self.kept.get_mut(key).filter(|session| session.ended(now).is_none())?;
        if is_use {
            session.used = now;
        }
        Some(session)
    }

    /// Ends a session.
    pub(super) fn end(&mut self, key: &Key) -> Option<Session> {
        self.kept.remove(key)
    }

    /// Ends all sessions of a user but one.
    pub(super) fn end_of(&mut self, user: &UserId, but: Option<&Key>) -> Vec<Gone> {
        self.end_where(|key, kept| kept.user == *user && Some(key) != but, Ended::Withdrawn)
    }

    /// Ends those in which nothing was done for too long.
    pub(super) fn expire(&mut self, now: Tick) -> Vec<Gone> {
        let ending: Vec<(Key, Ended)> = self.kept.iter().filter_map(|(key, session)| Some((*key, session.ended(now)?))).collect();
        ending.into_iter().filter_map(|(key, why)| Some((self.kept.remove(&key)?, why))).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Opens a record in an emergency.
    pub(super) fn open(&mut self, user: &UserId, patient: &Mrn, id: &str, until: Tick) {
        self.emergencies.insert((user.clone(), patient.clone()), Opened { id: id.to_owned(), until });
    }

    /// Closes it before its time, since it was not right to open it.
    pub(super) fn close(&mut self, id: &str) {
        self.emergencies.retain(|_, opened| opened.id != id);
    }

    /// The records that somebody has opened.
    pub(super) fn open_of(&self, user: &UserId, now: Tick) -> impl Iterator<Item = &Mrn> {
        self.emergencies.iter().filter(move |((opener, _), opened)| opener == user && opened.until > now).map(|((_, patient), _)| patient)
    }

    /// How many records are open in emergencies.
    pub(super) fn emergencies(&mut self, now: Tick) -> usize {
        self.emergencies.retain(|_, opened| opened.until > now);
        self.emergencies.len()
    }

    fn end_where(&mut self, is_ending: impl Fn(&Key, &Session) -> bool, why: Ended) -> Vec<Gone> {
        let ending: Vec<Key> = self.kept.iter().filter(|(key, session)| is_ending(key, session)).map(|(key, _)| *key).collect();
        ending.into_iter().filter_map(|key| Some((self.kept.remove(&key)?, why))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn session(user: &str, station: Option<&str>, began: u64) -> Session {
        let began = Tick::from_ms(began);
        Session { id: user.to_owned(), user: user.parse().unwrap(), station: station.map(str::to_owned), factors: vec![Factor::Password], began, used: began, idle_ms: 10 * MINUTE }
    }

    fn at(ms: u64) -> Tick {
        Tick::from_ms(ms)
    }

    #[test]
    fn a_session_ends_when_nothing_is_done_and_not_a_second_before() {
        let mut sessions = Sessions::default();
        sessions.begin([1; 32], session("ada", None, 0));
        assert!(sessions.get(&[1; 32], at(10 * MINUTE - 1_000), true).is_some());
        assert!(sessions.get(&[1; 32], at(20 * MINUTE - 1_001), false).is_some(), "counted from the last use");
        assert!(sessions.expire(at(20 * MINUTE - 2_000)).is_empty());
        assert!(sessions.get(&[1; 32], at(20 * MINUTE + 1_000), true).is_none(), "what asks by itself is no use");
        assert_eq!(sessions.expire(at(20 * MINUTE + 1_000)).into_iter().map(|(_, why)| why).collect::<Vec<_>>(), [Ended::Idle]);
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn a_session_ends_after_a_shift_whatever_is_done_in_it() {
        let mut sessions = Sessions::default();
        sessions.begin([1; 32], session("ada", None, 0));
        let mut now = 0;
        while now + 5 * MINUTE < LONGEST_MS {
            now += 5 * MINUTE;
            assert!(sessions.get(&[1; 32], at(now), true).is_some());
        }
        assert!(sessions.get(&[1; 32], at(LONGEST_MS), true).is_none());
        assert_eq!(sessions.expire(at(LONGEST_MS))[0].1, Ended::TooOld);
    }

    #[test]
    fn whoever_signs_in_at_a_station_ends_the_session_there() {
        let mut sessions = Sessions::default();
        sessions.begin([1; 32], session("ada", Some("MED1-1"), 0));
        sessions.begin([2; 32], session("ada", None, 0));
        let gone = sessions.begin([3; 32], session("ben", Some("MED1-1"), 0));
        assert_eq!(gone.iter().map(|(session, why)| (session.id.as_str(), *why)).collect::<Vec<_>>(), [("ada", Ended::Replaced)]);
        assert!(sessions.get(&[1; 32], at(1), true).is_none() && sessions.get(&[2; 32], at(1), true).is_some());
    }

    #[test]
    fn one_user_has_so_many_sessions_and_the_one_used_longest_ago_goes() {
        let mut sessions = Sessions::default();
        for number in 0..OF_USER {
            assert!(sessions.begin([u8::try_from(number).unwrap(); 32], session("ada", None, number as u64)).is_empty());
        }
        sessions.get(&[0; 32], at(1_000), true);
        assert_eq!(sessions.begin([99; 32], session("ada", None, 2_000)).len(), 1);
        assert!(sessions.get(&[0; 32], at(2_000), true).is_some() && sessions.get(&[1; 32], at(2_000), true).is_none());
    }

    #[test]
    fn all_sessions_of_a_user_end_but_the_one_that_says_so() {
        let mut sessions = Sessions::default();
        for (number, user) in [(1, "ada"), (2, "ada"), (3, "ben")] {
            sessions.begin([number; 32], session(user, None, 0));
        }
        assert_eq!(sessions.end_of(&"ada".parse().unwrap(), Some(&[1; 32])).len(), 1);
        assert_eq!(sessions.len(), 2);
        assert!(sessions.end(&[1; 32]).is_some() && sessions.end(&[1; 32]).is_none());
    }

    #[test]
    fn a_record_is_open_for_who_opened_it_until_its_time_or_a_review() {
        let (ada, ben): (UserId, UserId) = ("ada".parse().unwrap(), "ben".parse().unwrap());
        let mut sessions = Sessions::default();
        sessions.open(&ada, &"7".parse().unwrap(), "e1", at(100));
        sessions.open(&ben, &"8".parse().unwrap(), "e2", at(200));
        let open = |sessions: &Sessions, user: &UserId, now| sessions.open_of(user, at(now)).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((open(&sessions, &ada, 99), open(&sessions, &ada, 100), open(&sessions, &ben, 100)), (vec!["7".to_owned()], vec![], vec!["8".to_owned()]));
        assert_eq!((sessions.emergencies(at(99)), sessions.emergencies(at(100))), (2, 1));
        sessions.close("e2");
        assert_eq!(sessions.emergencies(at(100)), 0);
    }
}
