//! The sample people: what the sample plan records know of them and how they register. `cargo portal`, its demo and
//! the end-to-end tests share them.

use serde_json::{Value, json};

/// The password of the sample people.
pub const PASSWORD: &str = "Quiet-River-58!";

/// The initial password of a user who hasn't signed in yet.
pub const INITIAL_PASSWORD: &str = "First-Visit-21!";

/// Three of the questions that the member portal offers.
pub const SECURITY_QUESTIONS: [&str; 3] = [
    "What was the name of the first street you lived on?",
    "What was the name of your first pet?",
    "In which town did your parents meet?",
];

/// A person who can register with a sample plan record.
#[derive(Debug, Clone, Copy)]
pub struct Persona {
    pub portal: &'static str,
    pub registration_type: &'static str,
    pub facts: Facts,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub email: &'static str,
    /// None on a portal that generates usernames.
    pub username: Option<&'static str>,
    /// The street of the address for the PIN letter, if the portal requires it.
    pub street: Option<&'static str>,
}

/// What a person states to be matched with a plan record.
#[derive(Debug, Clone, Copy)]
pub enum Facts {
    Group {
        group_number: &'static str,
        tax_id_last4: &'static str,
    },
    Agent {
        agent_id: &'static str,
        ssn_last4: &'static str,
    },
    Member {
        enrollee_id: &'static str,
        subscriber_last_name: &'static str,
        date_of_birth: &'static str,
    },
    Provider {
        provider_id: &'static str,
        tax_id: &'static str,
    },
}

impl Facts {
    /// Returns the `verification` of a registration.
    pub fn verification(self) -> Value {
        match self {
            Self::Group {
                group_number,
                tax_id_last4,
            } => json!({ "group_number": group_number, "tax_id_last4": tax_id_last4 }),
            Self::Agent {
                agent_id,
                ssn_last4,
            } => json!({ "agent_id": agent_id, "ssn_last4": ssn_last4 }),
            Self::Member {
                enrollee_id,
                subscriber_last_name,
                date_of_birth,
            } => json!({
                "enrollee_id": enrollee_id, "subscriber_last_name": subscriber_last_name,
                "date_of_birth": date_of_birth,
            }),
            Self::Provider {
                provider_id,
                tax_id,
            } => json!({ "provider_id": provider_id, "tax_id": tax_id }),
        }
    }
}

impl Persona {
    /// Returns the first and last name.
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }

    /// Returns the body of the registration with everything that the person's portal requires.
    pub fn registration(&self) -> Value {
        let mut body = json!({
            "registration_type": self.registration_type, "verification": self.facts.verification(),
            "first_name": self.first_name, "last_name": self.last_name, "email": self.email,
            "password": PASSWORD,
        });
        if let Some(username) = self.username {
            body["username"] = username.into();
        }
        match self.facts {
            Facts::Member { .. } => body["security_answers"] = security_answers(),
            _ => body["attests_signing_authority"] = true.into(),
        }
        if let Some(street) = self.street {
            body["hint"] = hint();
            body["postal_address"] = postal_address(street);
        }
        if self.registration_type == "office_manager" {
            body["accepted_agreements"] = office_manager_terms();
        }
        body
    }
}

/// Principal of Blue Heron Manufacturing.
pub const RUTH: Persona = Persona {
    portal: "group",
    registration_type: "group",
    facts: Facts::Group {
        group_number: "GR20001",
        tax_id_last4: "4567",
    },
    first_name: "Ruth",
    last_name: "Okafor",
    email: "ruth@blueheron.example",
    username: Some("ruth.okafor"),
    street: None,
};

/// Principal of Cedar & Pine Bakery.
pub const CHANDRA: Persona = Persona {
    facts: Facts::Group {
        group_number: "GR20002",
        tax_id_last4: "5678",
    },
    first_name: "Chandra",
    last_name: "Rao",
    email: "chandra@cedarandpine.example",
    username: Some("chandra.rao"),
    ..RUTH
};

/// Delegated administrator of Blue Heron Manufacturing on the employer portal.
pub const LENA: Persona = Persona {
    portal: "employer",
    registration_type: "employer",
    first_name: "Lena",
    last_name: "Fischer",
    email: "lena@blueheron.example",
    username: Some("lena.fischer"),
    ..RUTH
};

/// A subscriber.
pub const MARIA: Persona = Persona {
    portal: "member",
    registration_type: "member",
    facts: Facts::Member {
        enrollee_id: "100200301",
        subscriber_last_name: "Alvarez",
        date_of_birth: "1979-04-12",
    },
    first_name: "Maria",
    last_name: "Alvarez",
    email: "maria@example.com",
    username: Some("maria.alvarez"),
    street: None,
};

/// Maria's dependent.
pub const DIEGO: Persona = Persona {
    facts: Facts::Member {
        enrollee_id: "100200301",
        subscriber_last_name: "Alvarez",
        date_of_birth: "2006-09-30",
    },
    first_name: "Diego",
    email: "diego@example.com",
    username: Some("diego.alvarez"),
    ..MARIA
};

/// Another subscriber.
pub const GRACE: Persona = Persona {
    facts: Facts::Member {
        enrollee_id: "100200304",
        subscriber_last_name: "Kim",
        date_of_birth: "1988-01-15",
    },
    first_name: "Grace",
    last_name: "Kim",
    email: "grace@example.com",
    username: Some("grace.kim"),
    ..MARIA
};

/// Primary user of Lakeside Family Medicine.
pub const HELEN: Persona = Persona {
    portal: "provider",
    registration_type: "practice",
    facts: Facts::Provider {
        provider_id: "PV30001",
        tax_id: "003456789",
    },
    first_name: "Helen",
    last_name: "Brandt",
    email: "helen@lakeside.example",
    username: None,
    street: Some("12 Harbor Lane"),
};

/// Primary user of Mercy Street Hospital.
pub const JOAN: Persona = Persona {
    registration_type: "facility",
    facts: Facts::Provider {
        provider_id: "PV30006",
        tax_id: "008901234",
    },
    first_name: "Joan",
    last_name: "Petrov",
    email: "joan@mercystreet.example",
    street: Some("9 Orchard Row"),
    ..HELEN
};

/// A provider with a practice of her own.
pub const HANNAH: Persona = Persona {
    facts: WEISS,
    first_name: "Hannah",
    last_name: "Weiss",
    email: "hannah@weiss.example",
    street: Some("4 Elm Court"),
    ..HELEN
};

/// The record of Hannah's practice, which Pat manages as well.
pub const WEISS: Facts = Facts::Provider {
    provider_id: "PV30007",
    tax_id: "009012345",
};

/// Office manager of Lakeside Family Medicine.
pub const PAT: Persona = Persona {
    portal: "practice",
    registration_type: "office_manager",
    first_name: "Pat",
    last_name: "Novak",
    email: "pat@lakeside.example",
    username: Some("pat.novak"),
    street: None,
    ..HELEN
};

/// Riverbend Dental on the practice portal.
pub const OMAR: Persona = Persona {
    registration_type: "dental",
    facts: Facts::Provider {
        provider_id: "PV30002",
        tax_id: "004567890",
    },
    first_name: "Omar",
    last_name: "Haddad",
    email: "omar@riverbend.example",
    username: Some("omar.haddad"),
    ..PAT
};

/// Oakview Dental Studio, which doesn't participate in the network.
pub const NOA: Persona = Persona {
    facts: Facts::Provider {
        provider_id: "PV30003",
        tax_id: "005678901",
    },
    first_name: "Noa",
    last_name: "Stern",
    email: "noa@oakview.example",
    username: Some("noa.stern"),
    ..OMAR
};

/// Summit Orthopedics, which doesn't participate in the network.
pub const IRIS: Persona = Persona {
    registration_type: "medical",
    facts: Facts::Provider {
        provider_id: "PV30004",
        tax_id: "006789012",
    },
    first_name: "Iris",
    last_name: "Quinn",
    email: "iris@summit.example",
    username: Some("iris.quinn"),
    ..OMAR
};

/// An agent whose agreement is on file.
pub const DANA: Persona = Persona {
    portal: "agent",
    registration_type: "agent",
    facts: Facts::Agent {
        agent_id: "AG10001",
        ssn_last4: "4821",
    },
    first_name: "Dana",
    last_name: "Whitfield",
    email: "dana@whitfield.example",
    username: Some("dana.whitfield"),
    street: None,
};

/// Dana on the producer portal.
pub const DANA_AS_PRODUCER: Persona = Persona {
    portal: "producer",
    registration_type: "producer",
    ..DANA
};

/// An agent without a signed agreement.
pub const LUIS: Persona = Persona {
    facts: Facts::Agent {
        agent_id: "AG10002",
        ssn_last4: "7310",
    },
    first_name: "Luis",
    last_name: "Ortega",
    email: "luis@ortega.example",
    username: Some("luis.ortega"),
    ..DANA
};

/// Returns the answers of the sample members.
pub fn security_answers() -> Value {
    let [street, pet, town] = SECURITY_QUESTIONS;
    json!([
        { "question": street, "answer": "Maple Street School" },
        { "question": pet, "answer": "Biscuit" },
        { "question": town, "answer": "Lake Geneva" },
    ])
}

/// Returns the hint question of the sample people.
pub fn hint() -> Value {
    json!({ "question": "What was my first car?", "answer": "A green Beetle" })
}

pub fn postal_address(street: &str) -> Value {
    json!({ "lines": [street], "city": "Evanston", "region": "IL", "postal_code": "60201", "country": "US" })
}

/// Returns the agreements that an office manager accepts.
pub fn office_manager_terms() -> Value {
    json!({ "office_manager_terms": "2026-10" })
}

/// Returns the body with which an invited person registers.
pub fn acceptance(token: &str, (first, last): (&str, &str), email: &str, username: &str) -> Value {
    json!({
        "token": token, "first_name": first, "last_name": last, "email": email,
        "username": username, "password": PASSWORD,
    })
}

/// Returns the body with which a user redeems a registration code.
pub fn redemption(username: &str, code: &str) -> Value {
    json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() })
}

/// Returns the body of a password change to [`PASSWORD`].
pub fn password_change(current: &str) -> Value {
    json!({ "current_password": current, "new_password": PASSWORD })
}
