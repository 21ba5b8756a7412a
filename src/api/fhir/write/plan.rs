//! From resources to commands: what each asks for, leave for it, and under which id it will be found.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;

use super::{clinical, person, visit};
use crate::access::{Allowed, Who};
use crate::api::command::{Identity, parse};
use crate::api::fhir::id::{escape, of_patient, patient_of, unescape};
use crate::api::fhir::resources::encounter_id;
use crate::api::fhir::{Kind, gather};
use crate::api::patients;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::census::Command;
use crate::domain::patient::{Patient, Person};
use crate::kernel::{EncounterId, Mrn, Timestamp};
use crate::projection::{EncounterRow, PatientRow};

/// Where the numbers of one request's identities begin: record numbers, stays. The commands themselves count from 1.
const NUMBERS: u32 = 1_000;
const STAYS: u32 = 2_000;

/// How a resource's id is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Made {
    /// Before it is made.
    Known(String),
    /// By the number that the problem gets.
    Problem(Mrn),
    /// By the event that the measurement becomes.
    Signs(Mrn),
}

/// What one resource asks for.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) commands: Vec<Command>,
    pub(super) made: Made,
    pub(super) is_new: bool,
}

/// What several resources of one request ask for.
pub(super) struct Planner<'a> {
    pub(super) api: &'a Api,
    pub(super) who: &'a Who,
    pub(super) key: Identity,
    pub(super) is_lenient: bool,
    /// Whether a person who is like somebody known is registered all the same.
    pub(super) is_confirmed: bool,
    /// Registrations as they will be.
    people: BTreeMap<Mrn, (Person, Option<Timestamp>)>,
    count: u32,
    allowed: Option<Allowed>,
}

fn unprocessable(place: &str, text: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{place}: {text}")).at(place)
}

impl<'a> Planner<'a> {
    pub(super) fn new(api: &'a Api, who: &'a Who, key: Identity, (is_lenient, is_confirmed): (bool, bool)) -> Self {
        Self { api, who, key, is_lenient, is_confirmed, people: BTreeMap::new(), count: 0, allowed: None }
    }

    /// Leave that was given, for the request as a whole.
    pub(super) fn allowed(self) -> Option<Allowed> {
        self.allowed
    }

    fn record(&self, mrn: &Mrn) -> Patient {
        self.api.rows.get::<PatientRow>("patient", mrn.as_str()).unwrap_or_default().patient
    }

    /// The patient of a reference, who is registered or will be.
    fn patient(&self, id: &str, place: &str) -> Result<Mrn, Problem> {
        let mrn: Mrn = unescape(id).and_then(|number| number.parse().ok()).ok_or_else(|| unprocessable(place, format!("there is no Patient/{id}")))?;
        match self.people.contains_key(&mrn) || self.record(&mrn) != Patient::default() {
            true => Ok(mrn),
            false => Err(unprocessable(place, format!("there is no Patient/{id}: register the patient first"))),
        }
    }

    async fn leave(&mut self, commands: &[Command]) -> Result<(), Problem> {
        for command in commands {
            let allowed = self.api.may_about(self.who, command.needs(), command.about()).await?;
            self.allowed.get_or_insert(allowed);
        }
        Ok(())
    }

    async fn planned(&mut self, kind: Kind, commands: Vec<Command>, made: Made, is_new: bool) -> Result<Plan, Problem> {
        self.leave(&commands).await?;
        Ok(Plan { kind, commands, made, is_new })
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    /// What a new resource asks for; of a patient the number is issued at once, so that others can refer to it.
    pub(super) async fn create(&mut self, kind: Kind, value: &Value) -> Result<Plan, Problem> {
        gather::may_write(self.who, kind)?;
        match kind {
            Kind::Patient => self.register(value, None).await,
            Kind::RelatedPerson => {
                let (patient, contact) = person::related(value, self.is_lenient)?;
                let mrn = self.patient(&patient, "RelatedPerson.patient")?;
                let (mut person, known) = self.person(&mrn)?;
                person.contacts.push(contact);
                let made = Made::Known(of_patient(mrn.as_str(), &format!("r{}", person.contacts.len() - 1)));
                self.replaced(kind, mrn, (person, known), made, true).await
            }
            Kind::Coverage => {
                let (patient, coverage) = person::coverage(value, self.is_lenient)?;
                let mrn = self.patient(&patient, "Coverage.beneficiary")?;
                let (mut person, known) = self.person(&mrn)?;
                person.coverages.push(coverage);
                let made = Made::Known(of_patient(mrn.as_str(), &format!("c{}", person.coverages.len() - 1)));
                self.replaced(kind, mrn, (person, known), made, true).await
            }
            Kind::AllergyIntolerance => {
                let (patient, command) = clinical::allergy(value, self.is_lenient)?;
                let mrn = self.patient(&patient, "AllergyIntolerance.patient")?;
                let command = command(mrn);
                let made = allergy_id(&command);
                self.planned(kind, vec![command], made, true).await
            }
            Kind::Condition => {
                let sent = clinical::condition(value, self.is_lenient)?;
                let mrn = self.patient(&sent.patient, "Condition.subject")?;
                let command = sent.create(mrn.clone())?;
                self.planned(kind, vec![command], Made::Problem(mrn), true).await
            }
            Kind::Observation => {
                let (patient, command) = clinical::observation(value, self.is_lenient)?;
                let mrn = self.patient(&patient, "Observation.subject")?;
                self.planned(kind, vec![command(mrn.clone())], Made::Signs(mrn), true).await
            }
            Kind::Encounter => {
                let sent = visit::encounter(value, &gather::house(self.api).system("visit"), self.is_lenient)?;
                let mrn = self.patient(&sent.patient, "Encounter.subject")?;
                let id = sent.visit.clone().unwrap_or_else(|| self.stay_of_this_request());
                let command = sent.create(mrn, id.clone())?;
                self.planned(kind, vec![command], Made::Known(encounter_id(&id)), true).await
            }
            other => Err(not_written(other)),
        }
    }

    /// A stay that has no number of its own gets one of the request, the same at each repetition.
    fn stay_of_this_request(&mut self) -> EncounterId {
        let at = STAYS + self.next();
        self.key.part(at).encounter()
    }

    /// What a resource in place of one that is known asks for.
    pub(super) async fn update(&mut self, kind: Kind, id: &str, value: &Value, version: Option<u64>) -> Result<Plan, Problem> {
        gather::may_write(self.who, kind)?;
        let missing = || Problem::missing(kind.name(), id);
        let of_patient = || patient_of(id).and_then(|mrn| mrn.parse::<Mrn>().ok()).ok_or_else(missing);
        let made = Made::Known(id.to_owned());
        match kind {
            Kind::Patient => {
                let mrn: Mrn = parse(&unescape(id).ok_or_else(missing)?)?;
                self.at_version(kind, mrn.as_str(), version)?;
                self.register(value, Some(mrn)).await
            }
            Kind::RelatedPerson | Kind::Coverage => {
                let mrn = of_patient()?;
                let (mut person, known) = self.person(&mrn)?;
                let (is_there, patient) = match kind {
                    Kind::Coverage => {
                        let (patient, coverage) = person::coverage(value, self.is_lenient)?;
                        (place(id, 'c').and_then(|at| person.coverages.get_mut(at)).map(|known| *known = coverage), patient)
                    }
                    _ => {
                        let (patient, contact) = person::related(value, self.is_lenient)?;
                        (place(id, 'r').and_then(|at| person.contacts.get_mut(at)).map(|known| *known = contact), patient)
                    }
                };
                is_there.ok_or_else(missing)?;
                same_patient(kind, &patient, &mrn)?;
                self.replaced(kind, mrn, (person, known), made, false).await
            }
            Kind::AllergyIntolerance => {
                let mrn = of_patient()?;
                let (patient, command) = clinical::allergy(value, self.is_lenient)?;
                same_patient(kind, &patient, &mrn)?;
                let command = command(mrn);
                if allergy_id(&command) != made {
                    return Err(unprocessable("AllergyIntolerance.code", "an allergy is against what its id says: refute this one, and write another"));
                }
                self.planned(kind, vec![command], made, false).await
            }
            Kind::Condition => {
                let mrn = of_patient()?;
                let sent = clinical::condition(value, self.is_lenient)?;
                same_patient(kind, &sent.patient, &mrn)?;
                let chart = self.api.rows.chart(&mrn);
                let known = place(id, 'p').and_then(|number| chart.problems.iter().find(|known| known.number as usize == number)).ok_or_else(missing)?;
                let commands: Vec<Command> = sent.update(mrn.clone(), known)?.into_iter().collect();
                // Also whoever changes nothing must be allowed to look.
                self.api.may_patient(self.who, crate::domain::rights::Permission::ViewPatient, &mrn).await?;
                self.planned(kind, commands, made, false).await
            }
            Kind::Observation => {
                let mrn = of_patient()?;
                if value["status"] != "entered-in-error" {
                    return Err(unprocessable("Observation.status", "a measurement does not change: say entered-in-error with a note that says why, and write another"));
                }
                let (patient, command) = clinical::observation(value, self.is_lenient)?;
                same_patient(kind, &patient, &mrn)?;
                self.planned(kind, vec![command(mrn)], made, false).await
            }
            Kind::Encounter => {
                let stay = visit::encounter_of(id)?;
                let state = self.api.rows.get::<EncounterRow>("encounter", stay.as_str()).unwrap_or_default().encounter;
                let mrn = gather::whose(&state).ok_or_else(missing)?;
                let sent = visit::encounter(value, &gather::house(self.api).system("visit"), self.is_lenient)?;
                same_patient(kind, &sent.patient, &mrn)?;
                self.at_version(kind, stay.as_str(), version)?;
                let commands = sent.update(mrn.clone(), &stay, &state)?;
                self.api.may_patient(self.who, crate::domain::rights::Permission::ViewPatient, &mrn).await?;
                // What another system says of this stay concerns no other one of the patient's.
                let commands = commands.into_iter().map(|command| Command::OfVisit { visit: stay.clone(), command: Box::new(command) }).collect();
                self.planned(kind, commands, made, false).await
            }
            other => Err(not_written(other)),
        }
    }

    /// Whether the resource is still as the client read it (`If-Match`).
    fn at_version(&self, kind: Kind, key: &str, wanted: Option<u64>) -> Result<(), Problem> {
        let stream = crate::kernel::StreamId::new(if kind == Kind::Patient { crate::kernel::StreamKind::Patient } else { crate::kernel::StreamKind::Encounter }, key);
        let newest = self.api.history.newest(&stream).map(|(version, _)| version);
        match wanted.is_none() || wanted == newest {
            true => Ok(()),
            false => {
                let text = format!("the {} is at version {} by now: read it again, and then change it", kind.name(), newest.unwrap_or(0));
                Err(Problem::new(StatusCode::PRECONDITION_FAILED, "changed_meanwhile", text))
            }
        }
    }

    /// The registration of a number as it is, or as it will be after what was sent before.
    fn person(&self, mrn: &Mrn) -> Result<(Person, Option<Timestamp>), Problem> {
        if let Some(known) = self.people.get(mrn) {
            return Ok(known.clone());
        }
        let record = self.record(mrn);
        let person = record.person.ok_or_else(|| Problem::missing("Patient", &escape(mrn.as_str())))?;
        Ok((person, record.as_of))
    }

    async fn replaced(&mut self, kind: Kind, mrn: Mrn, (person, known): (Person, Option<Timestamp>), made: Made, is_new: bool) -> Result<Plan, Problem> {
        // What comes after it in the same request finds it so; its time is not known yet.
        self.people.insert(mrn.clone(), (person.clone(), None));
        let command = Command::Replace { patient: mrn, person: Box::new(person), known };
        self.planned(kind, vec![command], made, is_new).await
    }

    /// Somebody new, or a registration in place of the one before.
    async fn register(&mut self, value: &Value, id: Option<Mrn>) -> Result<Plan, Problem> {
        let person::Sent { mrn: named, person, is_dead } = person::patient(value, &gather::house(self.api).system("mrn"), self.is_lenient)?;
        if let (Some(id), Some(named)) = (&id, &named)
            && id != named
        {
            return Err(unprocessable("Patient.identifier", format!("the record number {named} is not that of the id: a number is merged, not changed")));
        }
        let record = id.as_ref().map(|mrn| self.record(mrn)).unwrap_or_default();
        let known = id.as_ref().and_then(|mrn| self.people.get(mrn).cloned()).or(record.person.clone().map(|person| (person, record.as_of)));
        let Some((before, as_of)) = known else { return self.register_new(id.or(named), person, is_dead).await };
        let mrn = id.unwrap_or_else(|| named.unwrap_or_else(|| Mrn::issue(0)));
        // What FHIR's Patient has no place for stays as it is.
        let person = Person { consents: before.consents, mother: before.mother, coverages: before.coverages, ..person };
        let death = match (is_dead, record.died.is_some()) {
            (true, false) => Some(Command::RecordDeath { patient: mrn.clone() }),
            (false, true) => return Err(unprocessable("Patient.deceasedDateTime", "is missing: who is dead stays so; a wrong record of it is withdrawn by hand")),
            _ => None,
        };
        self.people.insert(mrn.clone(), (person.clone(), None));
        let replace = Command::Replace { patient: mrn.clone(), person: Box::new(person), known: as_of };
        let made = Made::Known(escape(mrn.as_str()));
        self.planned(Kind::Patient, std::iter::once(replace).chain(death).collect(), made, false).await
    }

    async fn register_new(&mut self, mrn: Option<Mrn>, person: Person, is_dead: bool) -> Result<Plan, Problem> {
        let allowed = self.api.may(self.who, crate::domain::rights::Permission::RegisterPatient)?;
        if !self.is_confirmed && !person.is_temporary {
            patients::nobody_alike(self.api, &allowed, &person).await?;
        }
        let mrn = match mrn {
            Some(mrn) => mrn,
            None => {
                let at = NUMBERS + self.next();
                let key = self.key.part(at);
                patients::issue(self.api, key, self.api.origin(key, &allowed, None)?).await?
            }
        };
        self.people.insert(mrn.clone(), (person.clone(), None));
        let register = Command::Register { patient: mrn.clone(), person: Box::new(person), as_of: None, is_new: true };
        let death = is_dead.then(|| Command::RecordDeath { patient: mrn.clone() });
        let made = Made::Known(escape(mrn.as_str()));
        self.planned(Kind::Patient, std::iter::once(register).chain(death).collect(), made, true).await
    }
}

/// The number behind the letter in an id of what belongs to a patient.
fn place(id: &str, letter: char) -> Option<usize> {
    id.rsplit_once(".-")?.1.strip_prefix(letter)?.parse().ok()
}

fn same_patient(kind: Kind, sent: &str, known: &Mrn) -> Result<(), Problem> {
    match unescape(sent).as_deref() == Some(known.as_str()) {
        true => Ok(()),
        false => Err(unprocessable(kind.name(), format!("this belongs to Patient/{}: it is never given to another", escape(known.as_str())))),
    }
}

/// The id that an allergy has.
fn allergy_id(command: &Command) -> Made {
    let of = |mrn: &Mrn, substance: &str| of_patient(mrn.as_str(), &format!("a{}", escape(&substance.trim().to_lowercase())));
    Made::Known(match command {
        Command::RecordAllergy { patient, allergy } => of(patient, &allergy.substance),
        Command::RefuteAllergy { patient, substance, .. } => of(patient, substance),
        Command::NoKnownAllergies { patient } => of_patient(patient.as_str(), crate::api::fhir::clinical::NONE_KNOWN),
        _ => String::new(),
    })
}

fn not_written(kind: Kind) -> Problem {
    let instead = match kind {
        Kind::Practitioner | Kind::PractitionerRole => "users and their roles are kept by wardctl user",
        Kind::Organization | Kind::Location | Kind::Device => "it stands in the configuration (wardd.toml)",
        Kind::Schedule | Kind::Slot => "schedules are kept by POST /api/v1/schedules",
        Kind::Appointment => "appointments are written one by one, not in a transaction: their schedule decides alone",
        _ => "it is made by what happens",
    };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not_supported", format!("{} is not written by FHIR: {instead}", kind.name()))
}
