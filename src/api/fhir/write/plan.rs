//! From resources to commands: what each asks for, leave for it, and under which id it will be found.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;

use super::{clinical, person, told, visit};
use crate::access::{Allowed, Who};
use crate::api::command::{Identity, parse};
use crate::api::fhir::id::{escape, of_patient, patient_of, unescape};
use crate::api::fhir::resources::encounter_id;
use crate::api::fhir::{Kind, gather};
use crate::api::patients;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::domain::census::{About, Command};
use crate::domain::chart;
use crate::domain::patient::{Patient, Person};
use crate::domain::rights::{Interaction, Permission};
use crate::kernel::{Mrn, StreamId, StreamKind};
use crate::projection::{EncounterRow, PatientRow};

/// Where the numbers of one request's identities begin: record numbers, stays. Each entry has its own, so that a repetition that finds
/// some of them done gives the others what they had.
const NUMBERS: u32 = 1_000;
const STAYS: u32 = 2_000;

/// How a resource's id is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Made {
    /// Before it is made.
    Known(String),
    /// By the number that the problem gets.
    Problem(Mrn),
    /// By the number that the programme gets.
    Programme(Mrn),
    /// By the event that the measurement becomes.
    Signs(Mrn),
    /// By the event that the telling becomes.
    Look(Mrn),
    /// By the event that the telling becomes.
    Origin(Mrn),
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
    /// Which entry of a bundle is planned.
    pub(super) entry: u32,
    /// Registrations as they will be.
    people: BTreeMap<Mrn, Person>,
    allowed: Option<Allowed>,
    /// Held until what is planned is done, once somebody is registered.
    registering: Option<tokio::sync::OwnedMutexGuard<()>>,
}

fn unprocessable(place: &str, text: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{place}: {text}")).at(place)
}

impl<'a> Planner<'a> {
    pub(super) fn new(api: &'a Api, who: &'a Who, key: Identity, (is_lenient, is_confirmed): (bool, bool)) -> Self {
        Self { api, who, key, is_lenient, is_confirmed, entry: 0, people: BTreeMap::new(), allowed: None, registering: None }
    }

    /// Leave that was given, for the request as a whole.
    pub(super) fn allowed(self) -> Option<Allowed> {
        self.allowed
    }

    fn record(&self, mrn: &Mrn) -> Patient {
        self.api.rows.get::<PatientRow>("patient", mrn.as_str()).unwrap_or_default().patient
    }

    /// That somebody has this number, or will have it after what stands before.
    fn registered(&self, mrn: &Mrn, place: &str) -> Result<(), Problem> {
        let is_known = self.people.contains_key(mrn) || self.record(mrn) != Patient::default();
        if is_known { Ok(()) } else { Err(unprocessable(place, format!("there is no Patient/{}: register the patient first", escape(mrn.as_str())))) }
    }

    async fn leave(&mut self, commands: &[Command]) -> Result<(), Problem> {
        for command in commands {
            let allowed = self.api.may_about(self.who, command.needs(), command.about()).await?;
            self.allowed.get_or_insert(allowed);
        }
        Ok(())
    }

    /// Nothing of a record is looked at, and nothing told of it by a refusal, before it is known that they may.
    async fn may(&self, permission: Permission, mrn: &Mrn) -> Result<(), Problem> {
        self.api.may_about(self.who, permission, About::Patient(mrn)).await.map(drop)
    }

    async fn planned(&mut self, kind: Kind, commands: Vec<Command>, made: Made, is_new: bool) -> Result<Plan, Problem> {
        self.leave(&commands).await?;
        Ok(Plan { kind, commands, made, is_new })
    }

    /// A command about a patient who must be known, with leave asked first.
    async fn about(&mut self, mrn: &Mrn, place: &str, command: &Command) -> Result<(), Problem> {
        self.leave(std::slice::from_ref(command)).await?;
        self.registered(mrn, place)
    }

    /// What a new resource asks for; of a patient the number is issued at once, so that others can refer to it.
    pub(super) async fn create(&mut self, kind: Kind, value: &Value) -> Result<Plan, Problem> {
        gather::within(self.who, Interaction::Create, kind)?;
        match kind {
            Kind::Patient => self.register(value, None).await,
            Kind::RelatedPerson => {
                let (patient, contact) = person::related(value, self.is_lenient)?;
                let mut person = self.person_to_change(&patient, "RelatedPerson.patient").await?;
                person.now.contacts.push(contact);
                let made = Made::Known(of_patient(person.mrn.as_str(), &format!("r{}", person.now.contacts.len() - 1)));
                self.replaced(kind, person, made, true).await
            }
            Kind::Coverage => {
                let (patient, coverage) = person::coverage(value, self.is_lenient)?;
                let mut person = self.person_to_change(&patient, "Coverage.beneficiary").await?;
                person.now.coverages.push(coverage);
                let made = Made::Known(of_patient(person.mrn.as_str(), &format!("c{}", person.now.coverages.len() - 1)));
                self.replaced(kind, person, made, true).await
            }
            Kind::AllergyIntolerance => {
                let (patient, command) = clinical::allergy(value, self.is_lenient)?;
                let (mrn, place) = (number(&patient, "AllergyIntolerance.patient")?, "AllergyIntolerance.patient");
                let mut command = command(mrn.clone());
                self.about(&mrn, place, &command).await?;
                let mut is_new = true;
                match &mut command {
                    Command::RefuteAllergy { .. } => {
                        return Err(unprocessable("AllergyIntolerance.verificationStatus", "what is refuted is one that is known: send it by PUT under its id"));
                    }
                    // What one more says makes nothing less than it is known to be; by PUT it is replaced.
                    Command::RecordAllergy { allergy, .. } => {
                        if let Some(known) = self.record(&mrn).allergies.against(&allergy.substance) {
                            (*allergy, is_new) = (known.and(allergy), false);
                        }
                    }
                    _ => {}
                }
                let made = allergy_id(&command);
                self.planned(kind, vec![command], made, is_new).await
            }
            Kind::Condition => {
                let sent = clinical::condition(value, self.is_lenient)?;
                let mrn = number(&sent.patient, "Condition.subject")?;
                let command = sent.create(mrn.clone())?;
                self.about(&mrn, "Condition.subject", &command).await?;
                self.planned(kind, vec![command], Made::Problem(mrn), true).await
            }
            Kind::EpisodeOfCare => {
                let sent = clinical::episode(value, self.is_lenient)?;
                let mrn = number(&sent.patient, "EpisodeOfCare.patient")?;
                let command = sent.create(mrn.clone())?;
                self.about(&mrn, "EpisodeOfCare.patient", &command).await?;
                self.planned(kind, vec![command], Made::Programme(mrn), true).await
            }
            Kind::Observation => {
                if value["status"] == "entered-in-error" {
                    return Err(unprocessable("Observation.status", "what was an error is one that is known: send it by PUT under its id"));
                }
                let (patient, command) = clinical::observation(value, self.is_lenient)?;
                let mrn = number(&patient, "Observation.subject")?;
                let command = command(mrn.clone());
                self.about(&mrn, "Observation.subject", &command).await?;
                self.planned(kind, vec![command], Made::Signs(mrn), true).await
            }
            Kind::Encounter => {
                let sent = visit::encounter(value, &gather::house(self.api).system("visit"), self.is_lenient)?;
                let mrn = number(&sent.patient, "Encounter.subject")?;
                let id = sent.visit.clone().unwrap_or_else(|| self.key.part(STAYS + self.entry).encounter());
                let command = sent.create(mrn.clone(), id.clone(), self.api.clock.now())?;
                self.about(&mrn, "Encounter.subject", &command).await?;
                self.planned(kind, vec![command], Made::Known(encounter_id(&id)), true).await
            }
            Kind::AuditEvent => {
                let (mrn, look) = told::look(value, self.is_lenient)?;
                let command = Command::Chart { patient: mrn.clone(), command: chart::Command::TellLook(Box::new(look)) };
                self.about(&mrn, "AuditEvent.entity", &command).await?;
                self.planned(kind, vec![command], Made::Look(mrn), true).await
            }
            Kind::Provenance => {
                let stay_of = |stay: &crate::kernel::EncounterId| self.api.rows.get::<EncounterRow>("encounter", stay.as_str()).and_then(|row| gather::whose(&row.encounter));
                let (mrn, origin) = told::origin(value, self.is_lenient, stay_of)?;
                let command = Command::Chart { patient: mrn.clone(), command: chart::Command::TellOrigin(Box::new(origin)) };
                self.about(&mrn, "Provenance.target", &command).await?;
                self.planned(kind, vec![command], Made::Origin(mrn), true).await
            }
            other => Err(not_written(other)),
        }
    }

    /// What a resource in place of one that is known asks for.
    pub(super) async fn update(&mut self, kind: Kind, id: &str, value: &Value, version: Option<u64>) -> Result<Plan, Problem> {
        gather::within(self.who, Interaction::Update, kind)?;
        let missing = || Problem::missing(kind.name(), id);
        let of_patient = || patient_of(id).and_then(|mrn| mrn.parse::<Mrn>().ok()).ok_or_else(missing);
        let made = Made::Known(id.to_owned());
        match kind {
            Kind::Patient => {
                let mrn: Mrn = parse(&unescape(id).ok_or_else(missing)?)?;
                self.may(Permission::RegisterPatient, &mrn).await?;
                self.at_version(StreamKind::Patient, mrn.as_str(), version)?;
                self.register(value, Some(mrn)).await
            }
            Kind::RelatedPerson | Kind::Coverage => {
                let mrn = of_patient()?;
                self.may(Permission::RegisterPatient, &mrn).await?;
                let Some(version) = version else { return Err(needs_version(kind)) };
                self.at_version(StreamKind::Patient, mrn.as_str(), Some(version))?;
                let mut person = self.person(&mrn)?;
                let (is_there, patient) = match kind {
                    Kind::Coverage => {
                        let (patient, coverage) = person::coverage(value, self.is_lenient)?;
                        (place(id, 'c').and_then(|at| person.now.coverages.get_mut(at)).map(|known| *known = coverage), patient)
                    }
                    _ => {
                        let (patient, contact) = person::related(value, self.is_lenient)?;
                        (place(id, 'r').and_then(|at| person.now.contacts.get_mut(at)).map(|known| *known = contact), patient)
                    }
                };
                is_there.ok_or_else(missing)?;
                same_patient(kind, &patient, &mrn)?;
                self.replaced(kind, person, made, false).await
            }
            Kind::AllergyIntolerance => {
                let mrn = of_patient()?;
                let (patient, command) = clinical::allergy(value, self.is_lenient)?;
                self.may(Permission::ViewPatient, &mrn).await?;
                same_patient(kind, &patient, &mrn)?;
                no_version(kind, version)?;
                let command = command(mrn);
                if allergy_id(&command) != made {
                    return Err(unprocessable("AllergyIntolerance.code", "an allergy is against what its id says: refute this one, and write another"));
                }
                self.planned(kind, vec![command], made, false).await
            }
            Kind::Condition => {
                let mrn = of_patient()?;
                let sent = clinical::condition(value, self.is_lenient)?;
                self.may(Permission::ViewPatient, &mrn).await?;
                same_patient(kind, &sent.patient, &mrn)?;
                no_version(kind, version)?;
                let chart = self.api.rows.chart(&mrn);
                let known = place(id, 'p').and_then(|number| chart.problems.iter().find(|known| known.number as usize == number)).ok_or_else(missing)?;
                let commands: Vec<Command> = sent.update(mrn.clone(), known)?.into_iter().collect();
                self.planned(kind, commands, made, false).await
            }
            Kind::EpisodeOfCare => {
                let mrn = of_patient()?;
                let sent = clinical::episode(value, self.is_lenient)?;
                self.may(Permission::ViewPatient, &mrn).await?;
                same_patient(kind, &sent.patient, &mrn)?;
                no_version(kind, version)?;
                let chart = self.api.rows.chart(&mrn);
                let is_made = || unprocessable("EpisodeOfCare.id", "this episode is made of the patient's stays: admit, transfer and discharge them");
                let number = place(id, 'e').ok_or_else(is_made)?;
                let known = chart.programmes.iter().find(|known| known.number as usize == number).ok_or_else(missing)?;
                let commands: Vec<Command> = sent.update(mrn.clone(), known)?.into_iter().collect();
                self.planned(kind, commands, made, false).await
            }
            Kind::Observation => {
                let mrn = of_patient()?;
                if value["status"] != "entered-in-error" {
                    return Err(unprocessable("Observation.status", "a measurement does not change: say entered-in-error with a note that says why, and write another"));
                }
                let (patient, command) = clinical::observation(value, self.is_lenient)?;
                self.may(Permission::ViewPatient, &mrn).await?;
                same_patient(kind, &patient, &mrn)?;
                no_version(kind, version.filter(|version| *version != 1))?;
                // What is taken back is the one that the id names, and no other of the patient's.
                let known = gather::one(self.api, self.who, kind, id).await?;
                if !known.resources.first().is_some_and(|known| clinical::is_same_measurement(known, value)) {
                    return Err(unprocessable("Observation.code", "code and effectiveDateTime are not those of this measurement: read it again"));
                }
                self.planned(kind, vec![command(mrn)], made, false).await
            }
            Kind::Encounter => {
                let stay = visit::encounter_of(id)?;
                // Whoever may look at nobody learns of no stay whether there is one.
                self.api.may(self.who, Permission::ViewPatient)?;
                let state = self.api.rows.get::<EncounterRow>("encounter", stay.as_str()).unwrap_or_default().encounter;
                let mrn = gather::whose(&state).ok_or_else(missing)?;
                self.may(Permission::ViewPatient, &mrn).await?;
                let sent = visit::encounter(value, &gather::house(self.api).system("visit"), self.is_lenient)?;
                same_patient(kind, &sent.patient, &mrn)?;
                self.at_version(StreamKind::Encounter, stay.as_str(), version)?;
                let commands = sent.update(mrn.clone(), &stay, &state, self.api.clock.now())?;
                // What is said of this stay concerns no other one of the patient's.
                let commands = commands.into_iter().map(|command| Command::OfVisit { visit: Some(stay.clone()), told: None, is_exact: true, command: Box::new(command) }).collect();
                self.planned(kind, commands, made, false).await
            }
            other => Err(not_written(other)),
        }
    }

    /// Whether the resource is still as the client read it (`If-Match`); a request that is repeated has changed it itself.
    fn at_version(&self, stream: StreamKind, key: &str, wanted: Option<u64>) -> Result<(), Problem> {
        let stream = StreamId::new(stream, key);
        let newest = self.api.history.newest(&stream).map(|(version, _)| version);
        if wanted.is_none() || wanted == newest || (self.key.is_keyed() && !self.api.done_before(&stream, self.key)?.is_empty()) {
            return Ok(());
        }
        let text = format!("it is at version {} by now: read it again, and then change it", newest.unwrap_or(0));
        Err(Problem::new(StatusCode::PRECONDITION_FAILED, "changed_meanwhile", text))
    }

    /// The registration of a number as it is, or as it will be after what was sent before.
    fn person(&self, mrn: &Mrn) -> Result<Changed, Problem> {
        let before = self.people.get(mrn).cloned().or(self.record(mrn).person).ok_or_else(|| Problem::missing("Patient", &escape(mrn.as_str())))?;
        Ok(Changed { mrn: mrn.clone(), now: before.clone(), before })
    }

    /// The same for whoever may change it.
    async fn person_to_change(&self, patient: &str, place: &str) -> Result<Changed, Problem> {
        let mrn = number(patient, place)?;
        self.may(Permission::RegisterPatient, &mrn).await?;
        self.registered(&mrn, place)?;
        self.person(&mrn)
    }

    async fn replaced(&mut self, kind: Kind, Changed { mrn, before, now }: Changed, made: Made, is_new: bool) -> Result<Plan, Problem> {
        // What comes after it in the same request finds it so.
        self.people.insert(mrn.clone(), now.clone());
        let command = Command::Replace { patient: mrn, person: Box::new(now), known: Some(Box::new(before)) };
        self.planned(kind, vec![command], made, is_new).await
    }

    /// Somebody new, or a registration in place of the one before.
    async fn register(&mut self, value: &Value, id: Option<Mrn>) -> Result<Plan, Problem> {
        let sent = person::patient(value, &gather::house(self.api).system("mrn"), self.is_lenient)?;
        if let (Some(id), Some(named)) = (&id, &sent.mrn)
            && id != named
        {
            return Err(unprocessable("Patient.identifier", format!("the record number {named} is not that of the id: a number is merged, not changed")));
        }
        let known = id.as_ref().and_then(|mrn| self.people.get(mrn).cloned().or(self.record(mrn).person));
        let links = id.as_ref().filter(|_| known.is_some()).and_then(|mrn| gather::patient(self.api, mrn)).and_then(|known| known.get("link").cloned());
        if value.get("link").is_some_and(|sent| Some(sent) != links.as_ref()) {
            return Err(unprocessable("Patient.link", "numbers are merged by POST /api/v1/patients/{mrn}/merge, and not by a link"));
        }
        let (Some(mrn), Some(before)) = (id.clone(), known) else { return self.register_new(id, sent).await };
        // What FHIR's Patient has no place for stays as it is.
        let person::Sent { person, is_dead, died, .. } = sent;
        let now = Person { consents: before.consents.clone(), mother: before.mother.clone(), coverages: before.coverages.clone(), ..person };
        // Who says for the first time who somebody is has looked whether we know them.
        if before.is_temporary && !now.is_temporary && !self.is_confirmed {
            let allowed = self.api.may(self.who, Permission::RegisterPatient)?;
            self.alone().await;
            patients::nobody_alike(self.api, &allowed, &now, Some(&mrn)).await?;
        }
        let death = match (is_dead, self.record(&mrn).died) {
            (true, None) => Some(Command::RecordDeath { patient: mrn.clone(), at: died }),
            (true, Some(known)) if died.is_some_and(|died| died != known) => {
                return Err(unprocessable("Patient.deceasedDateTime", format!("the death is recorded for {known}: a wrong record of it is withdrawn by hand, and then made anew")));
            }
            (false, Some(_)) => return Err(unprocessable("Patient.deceasedDateTime", "is missing: who is dead stays so; a wrong record of it is withdrawn by hand")),
            (true, Some(_)) | (false, None) => None,
        };
        let made = Made::Known(escape(mrn.as_str()));
        let mut plan = self.replaced(Kind::Patient, Changed { mrn, before, now }, made, false).await?;
        self.leave(death.as_slice()).await?;
        plan.commands.extend(death);
        Ok(plan)
    }

    /// Alone among those who register, until what is planned is done.
    async fn alone(&mut self) {
        if self.registering.is_none() {
            self.registering = Some(self.api.registering.clone().lock_owned().await);
        }
    }

    async fn register_new(&mut self, id: Option<Mrn>, person::Sent { mrn: named, person, is_dead, died }: person::Sent) -> Result<Plan, Problem> {
        let allowed = self.api.may(self.who, Permission::RegisterPatient)?;
        let key = self.key.part(NUMBERS + self.entry);
        let before = match id.or(named) {
            Some(mrn) => Some(mrn),
            None if self.key.is_keyed() => patients::issued(self.api, key)?,
            None => None,
        };
        // Whoever this very request has registered is not somebody who may be the same person.
        let is_repeated = match &before {
            Some(mrn) => self.key.is_keyed() && !self.api.done_before(&StreamId::new(StreamKind::Patient, mrn.as_str()), self.key)?.is_empty(),
            None => false,
        };
        if !self.is_confirmed && !person.is_temporary && !is_repeated {
            self.alone().await;
            patients::nobody_alike(self.api, &allowed, &person, None).await?;
        }
        let mrn = match before {
            Some(mrn) => mrn,
            None => patients::issue(self.api, key, self.api.origin(key, &allowed, None)?).await?,
        };
        self.people.insert(mrn.clone(), person.clone());
        let register = Command::Register { patient: mrn.clone(), person: Box::new(person), as_of: None, is_new: true };
        let death = is_dead.then(|| Command::RecordDeath { patient: mrn.clone(), at: died });
        let made = Made::Known(escape(mrn.as_str()));
        self.planned(Kind::Patient, std::iter::once(register).chain(death).collect(), made, true).await
    }
}

/// A registration that is to be another.
struct Changed {
    mrn: Mrn,
    before: Person,
    now: Person,
}

/// The number in a reference to a patient.
fn number(id: &str, place: &str) -> Result<Mrn, Problem> {
    unescape(id).and_then(|number| number.parse().ok()).ok_or_else(|| unprocessable(place, format!("there is no Patient/{id}")))
}

/// Their ids are places in a list, which others may have changed: only who says what they read is sure to mean this one.
fn needs_version(kind: Kind) -> Problem {
    let text = format!("a {} is changed by If-Match with the ETag of what was read: its id is a place in a list", kind.name());
    Problem::new(StatusCode::PRECONDITION_REQUIRED, "version_needed", text)
}

fn no_version(kind: Kind, version: Option<u64>) -> Result<(), Problem> {
    match version {
        None => Ok(()),
        Some(_) => Err(Problem::bad(format!("a {} has no versions here: leave If-Match out", kind.name()))),
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
    let of = |mrn: &Mrn, substance: &str| crate::api::fhir::clinical::allergy_id(mrn.as_str(), substance);
    Made::Known(match command {
        Command::RecordAllergy { patient, allergy } => of(patient, &allergy.substance),
        Command::RefuteAllergy { patient, substance, .. } => of(patient, substance),
        Command::NoKnownAllergies { patient } => of_patient(patient.as_str(), crate::api::fhir::clinical::NONE_KNOWN),
        _ => String::new(),
    })
}

fn not_written(kind: Kind) -> Problem {
    let instead = match kind {
        Kind::Practitioner | Kind::PractitionerRole => "users and their roles are written one by one, not in a transaction",
        Kind::Organization | Kind::Location | Kind::Device => "entries of the directory are written one by one, not in a transaction",
        Kind::Schedule | Kind::Slot => "schedules and slots are written one by one, not in a transaction",
        Kind::Appointment => "appointments are written one by one, not in a transaction: their schedule decides alone",
        Kind::Subscription => "subscriptions are asked for one by one, not in a transaction",
        Kind::AuditEvent | Kind::Provenance => "what was told stays as it was told: tell what is right by POST",
        _ => "it is made by what happens",
    };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not_supported", format!("{} is not written by FHIR: {instead}", kind.name()))
}
