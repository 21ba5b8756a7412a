//! The one decision, as tables; roles as data.

use super::*;

fn place(ward: &str) -> WardPlace {
    WardPlace { ward: ward.parse().unwrap(), facility: "MAIN".to_owned() }
}

fn patient(wards: &[&str], is_restricted: bool) -> Subject {
    Subject::Patient(PatientPlace {
        numbers: vec!["1".parse().unwrap(), "2".parse().unwrap()],
        wards: wards.iter().map(|ward| place(ward)).collect(),
        is_anywhere: wards == ["-"],
        is_restricted,
    })
}

fn rights(scope: &str, permissions: &[Permission]) -> Rights {
    Rights { granted: vec![Granted { permissions: permissions.iter().copied().collect(), scope: scope.parse().unwrap() }], ..Rights::default() }
}

fn word(result: Result<Ground, Forbidden>) -> &'static str {
    match result {
        Ok(Ground::Role) => "role",
        Ok(Ground::Emergency) => "emergency",
        Err(forbidden) => forbidden.word(),
    }
}

#[test]
fn what_nobody_granted_is_refused_for_every_permission_and_subject() {
    let nobody = Rights::default();
    for permission in Permission::ALL {
        for subject in [Subject::Anything, Subject::House, Subject::Ward(place("MED1")), patient(&["MED1"], false)] {
            assert_eq!(word(nobody.may(*permission, &subject)), "not_permitted");
        }
    }
}

#[test]
fn a_patient_is_seen_by_their_ward_and_by_the_house_unless_restricted() {
    use Permission::{ViewPatient, ViewRestricted};
    let cases = [
        // (scope, more permissions, wards, restricted, opened in an emergency) → ground or refusal
        ("house", &[][..], &["MED1"][..], false, false, "role"),
        ("house", &[], &[], false, false, "role"),
        ("house", &[], &["MED1"], true, false, "restricted"),
        ("house", &[], &["MED1"], true, true, "emergency"),
        ("house", &[ViewRestricted], &["MED1"], true, false, "role"),
        ("ward:MED1", &[], &["MED1"], false, false, "role"),
        ("ward:MED1", &[], &["MED1"], true, false, "role"),
        ("ward:MED1", &[], &["ICU", "MED1"], true, false, "role"),
        ("ward:MED1", &[], &["ICU"], false, false, "not_your_patient"),
        ("ward:MED1", &[ViewRestricted], &["ICU"], true, false, "not_your_patient"),
        ("ward:MED1", &[], &["ICU"], true, true, "emergency"),
        ("ward:MED1", &[], &[], false, false, "not_your_patient"),
        ("ward:MED1", &[], &[], false, true, "emergency"),
        ("facility:MAIN", &[], &["ICU"], false, false, "role"),
        ("facility:MAIN", &[], &["ICU"], true, false, "restricted"),
        ("facility:MAIN", &[ViewRestricted], &["ICU"], true, false, "role"),
        ("facility:OTHER", &[], &["ICU"], false, false, "not_your_patient"),
        // In the house and in no bed.
        ("ward:MED1", &[], &["-"], false, false, "role"),
        ("ward:MED1", &[], &["-"], true, false, "restricted"),
        ("ward:MED1", &[], &["-"], true, true, "emergency"),
    ];
    for (scope, more, wards, is_restricted, is_open, expected) in cases {
        let mut rights = rights(scope, &[&[ViewPatient], more].concat());
        if is_open {
            rights.emergencies.insert("2".parse().unwrap());
        }
        assert_eq!(word(rights.may(ViewPatient, &patient(wards, is_restricted))), expected, "{scope} {wards:?} restricted {is_restricted} opened {is_open}");
    }
}

#[test]
fn an_emergency_opens_one_record_and_adds_no_permission() {
    let mut rights = rights("ward:MED1", &[Permission::ViewPatient]);
    rights.emergencies.insert("1".parse().unwrap());
    let of = |number: &str| Subject::Patient(PatientPlace { numbers: vec![number.parse().unwrap()], wards: vec![place("ICU")], is_anywhere: false, is_restricted: true });
    assert_eq!(word(rights.may(Permission::ViewPatient, &of("1"))), "emergency");
    assert_eq!(word(rights.may(Permission::ViewPatient, &of("9"))), "not_your_patient");
    assert_eq!(word(rights.may(Permission::RecordAllergies, &of("1"))), "not_permitted");
}

#[test]
fn wards_and_the_house_are_reached_by_scope() {
    use Permission::ManageUsers;
    let cases = [
        ("house", Subject::House, "role"),
        ("house", Subject::Ward(place("MED1")), "role"),
        ("ward:MED1", Subject::House, "not_the_house"),
        ("facility:MAIN", Subject::House, "not_the_house"),
        ("ward:MED1", Subject::Ward(place("MED1")), "role"),
        ("ward:MED1", Subject::Ward(place("ICU")), "other_ward"),
        ("facility:MAIN", Subject::Ward(place("ICU")), "role"),
        ("facility:OTHER", Subject::Ward(place("ICU")), "other_ward"),
        ("ward:MED1", Subject::Anything, "role"),
    ];
    for (scope, subject, expected) in cases {
        assert_eq!(word(rights(scope, &[ManageUsers]).may(ManageUsers, &subject)), expected, "{scope} {subject:?}");
    }
}

#[test]
fn a_token_is_limited_to_what_it_names_also_of_the_restricted() {
    let mut rights = rights("house", &[Permission::ViewMetrics, Permission::ViewPatient, Permission::ViewRestricted]);
    rights.limited_to = Some([Permission::ViewMetrics].into());
    assert_eq!(word(rights.may(Permission::ViewMetrics, &Subject::House)), "role");
    assert_eq!(word(rights.may(Permission::ViewPatient, &patient(&[], false))), "not_permitted");
    rights.limited_to = Some([Permission::ViewPatient].into());
    assert_eq!(word(rights.may(Permission::ViewPatient, &patient(&[], true))), "restricted");
}

#[test]
fn scopes_and_permissions_are_written_as_they_are_read() {
    for text in ["house", "facility:MAIN", "ward:MED1"] {
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
    }
    for wrong in ["", "House", "ward:", "ward", "facility:", "room:1", "ward:a b"] {
        assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
    }
    for permission in Permission::ALL {
        assert_eq!(Permission::try_from(permission.word().to_owned()), Ok(*permission));
    }
    assert!(Permission::try_from("patient.heal".to_owned()).unwrap_err().to_string().contains("known: patient.find"));
}

#[test]
fn roles_are_checked_as_a_whole() {
    let read = |text: &str| toml::from_str::<Roles>(text);
    let whole = read("[boss]\ndescription = \"b\"\npermissions = [\"user.manage\"]\nsecond_factor = true\n").unwrap();
    assert_eq!((whole.check(), whole.governing(), whole.get("boss").unwrap().second_factor), (Ok(()), ["boss".to_owned()].into(), true));
    assert_eq!(read("[nurse]\ndescription = \"n\"\npermissions = [\"bed.view\"]\n").unwrap().check(), Err(RolesError::NobodyManages));
    assert_eq!(read("[Boss]\ndescription = \"b\"\npermissions = [\"user.manage\"]\n").unwrap().check(), Err(RolesError::Name("Boss".to_owned())));
    assert!(read("[a]\ndescription = \"b\"\npermissions = [\"bed.fly\"]\n").unwrap_err().to_string().contains("bed.fly"));
    assert_eq!(whole.granted("gone", &Scope::House), None);
}

#[test]
fn every_role_that_meets_patients_has_a_way_to_a_restricted_one() {
    use Permission::{BreakGlass, ViewRestricted};
    const OF_PATIENTS: &[Permission] = &[
        Permission::ViewPatient,
        Permission::RecordAllergies,
        Permission::Discharge,
        Permission::ClearBilling,
        Permission::ClearPharmacy,
        Permission::OrderTests,
        Permission::ReceiveSpecimens,
        Permission::ViewAccounts,
        Permission::TakePayments,
    ];
    let roles: Roles = toml::from_str(include_str!("../../../config/roles.toml")).unwrap();
    for (name, role) in roles.iter().filter(|(_, role)| OF_PATIENTS.iter().any(|permission| role.permissions.contains(permission))) {
        // A program cannot say that it is an emergency: it sees nobody who is restricted, unless a house adds that right.
        assert!(name == "interface" || role.permissions.contains(&BreakGlass) || role.permissions.contains(&ViewRestricted), "{name}");
    }
    let lifts = |role: &Role| role.permissions.contains(&Permission::RestrictPatient) && role.permissions.contains(&Permission::ViewPatient);
    assert!(!roles.iter().any(|(_, role)| lifts(role)), "nobody lifts a restriction to look for themselves");
}
