//! Sample plan records: feeds with fictitious people and organizations.
//!
//! The first rows of each file are fixed, because the docs, the demo and tests refer to them; the rest is generated
//! from a seed. A test compares the result with `infra/sample-records/`. The random numbers come from SplitMix64
//! below, because a library may generate different numbers from the same seed in its next version.

use std::collections::BTreeSet;

use vestibule_domain::feed;
use vestibule_domain::values::record_kind::RecordKind;

/// The plan that the records belong to.
pub const PLAN: &str = "harbor";

/// Returns the committed feed of one kind.
pub const fn committed(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Member => include_str!("../../sample-records/members.csv"),
        RecordKind::Agent => include_str!("../../sample-records/agents.csv"),
        RecordKind::Group => include_str!("../../sample-records/groups.csv"),
        RecordKind::Provider => include_str!("../../sample-records/providers.csv"),
    }
}

/// Generates the feed of one kind as CSV; the result is always the same.
pub fn generate(kind: RecordKind) -> String {
    let header: Vec<_> = feed::columns(kind).iter().map(|c| c.name).collect();
    let (fixed, rows) = match kind {
        RecordKind::Member => (FIRST_MEMBERS, members()),
        RecordKind::Agent => (FIRST_AGENTS, agents()),
        RecordKind::Group => (FIRST_GROUPS, groups().into_iter().map(|g| g.row).collect()),
        RecordKind::Provider => (FIRST_PROVIDERS, providers()),
    };
    let mut csv = format!("{}\n{fixed}", header.join(","));
    for row in rows {
        let fields: Vec<_> = row.iter().map(|field| quoted(field)).collect();
        csv += &fields.join(",");
        csv.push('\n');
    }
    csv
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

const FIRST_MEMBERS: &str = "\
100200301,0,Maria,Alvarez,Alvarez,1979-04-12,418 Heronmere Lane,,,Springfield,IL,62704,US
100200301,1,Diego,Alvarez,Alvarez,2006-09-30,418 Heronmere Lane,,,Springfield,IL,62704,US
100200301,2,Lucía,Moreno,Alvarez,1981-02-17,418 Heronmere Lane,,,Springfield,IL,62704,US
100200302,0,Thomas,O'Brien,O'Brien,1965-11-03,27 Copperleaf Court,Apt 3B,,Peoria,IL,61602,US
100200303,0,Annika,Müller,Müller,1990-07-21,Kranichwinkel 14,,,Berlin,,10437,DE
100200304,0,Grace,Kim,Kim,1988-01-15,905 Lanternfield Road,,,Naperville,IL,60540,US
100200304,1,Ethan,Kim,Kim,2007-05-05,905 Lanternfield Road,,,Naperville,IL,60540,US
100200304,2,Olivia,Kim,Kim,2007-05-05,905 Lanternfield Road,,,Naperville,IL,60540,US
";

const FIRST_AGENTS: &str = "\
AG10001,Dana Whitfield,Dana,Whitfield,4821,,producer_agreement=2026-01,BH01;BH02;BH03;CP01,managing_agent
AG10002,Luis Ortega,Luis,Ortega,7310,AG10001,,BH01;BH02,agent
AG10003,Priya Nair,Priya,Nair,2954,AG10001,producer_agreement=2024-01,CP01,agent
";

const FIRST_GROUPS: &str = "\
GR20001,Blue Heron Manufacturing,001234567,BH01;BH02;BH03,large_group,1200 Kilnbrook Parkway,,,Rockford,IL,61101,US
GR20002,Cedar & Pine Bakery,002345678,CP01,small_group,36 Millrace Row,,,Galena,IL,61036,US
";

const FIRST_PROVIDERS: &str = "\
PV30001,Lakeside Family Medicine,003456789,medical_group,yes,,77 Willowmere Drive,Suite 200,,Evanston,IL,60201,US
PV30002,Riverbend Dental,004567890,dental,yes,,310 Ferrystone Street,,,Joliet,IL,60432,US
PV30003,Oakview Dental Studio,005678901,dental,no,,58 Acornfield Avenue,Suite 4,,Aurora,IL,60505,US
PV30004,Summit Orthopedics,006789012,medical_group,no,,640 Cairnhill Road,,,Elgin,IL,60120,US
PV30005,Clearwater Billing Services,007890123,billing_agency,,,2201 Ledgerwood Plaza,Floor 3,,Chicago,IL,60607,US
PV30006,Mercy Street Hospital,008901234,facility,yes,,1 Mercy Street,,,Decatur,IL,62521,US
PV30007,Dr. Hannah Weiss,009012345,individual,yes,,415 Thistledown Lane,Suite 12,,Champaign,IL,61820,US
";

const FIRST_NAMES: &str = "Aaliyah|Aaron|Abigail|Adrián|Ahmed|Aiko|Alejandra|Alice|Amara|Amir|Ana Lucía|Andre|\
Angela|Anh|Anthony|Arjun|Ashley|Beatriz|Benjamin|Bettye|Brandon|Brian|Brigid|Caleb|Camila|Carlos|Carol|Catherine|\
Charles|Charlotte|Chinedu|Chloë|Christopher|Claire|Cynthia|D'Andre|Daniel|Darnell|David|Deborah|Denise|Dmitri|Donna|\
Dorothy|Elena|Elijah|Élise|Elizabeth|Emily|Emmanuel|Eric|Esther|Fatima|Fernando|Frances|Gabriel|George|Gloria|Greta|\
Gustavo|Hannah|Harold|Hassan|Helen|Henry|Hiroshi|Ian|Imani|Inés|Isaac|Isabella|Jacqueline|Jamal|James|Janelle|Jasmine|\
Jean-Luc|Jennifer|Jerome|Jessica|Ji-woo|João|John|Jonathan|José|Joseph|Joshua|Joyce|Juan Pablo|Julia|Karen|Katarzyna|\
Keisha|Kenneth|Kevin|Kofi|Laila|Larry|Latoya|Laura|Leilani|Léa|Liam|Linda|Logan|Lorraine|Lucas|Łukasz|Madison|Malik|\
Margaret|Marisol|Mark|Martha|Mary|Mary-Kate|Mateo|Matthew|Mei|Melissa|Michael|Miguel|Mohammed|Mónica|Naomi|Nathan|\
Niamh|Nicole|Nikhil|Noah|Nora|Olga|Omar|Oscar|Owen|Patricia|Paul|Peter|Philip|Rachel|Raúl|Raymond|Rebecca|Renée|\
Richard|Robert|Rosa|Ruth|Ryan|Samantha|Samuel|Sandra|Sara|Seán|Shanice|Sofía|Søren|Stephen|Steven|Susan|Tamika|\
Tariq|Teresa|Thị Mai|Thomas|Timothy|Tyrone|Valentina|Vanessa|Victor|Vikram|Virginia|Walter|Wei|William|Xavier|Yolanda|\
Yusuf|Zachary|Zainab|Zoë";

const LAST_NAMES: &str = "Abernathy|Adeyemi|Aguilar|Al-Hassan|Anderson|Ångström|Baker|Barnes|Begay|Bennett|Bianchi|\
Björnsson|Boateng|Brennan|Brooks|Brown|Campbell|Carter|Castañeda|Chang|Chávez|Chen|Choi|Clark|Cohen|Coleman|Collins|\
Cooper|Cox|Cruz|D'Angelo|Davis|de la Cruz|Desai|Diallo|Diaz|Dubois|Edwards|El-Amin|Evans|Faulkner|Fernández|Fischer|\
Flores|Foster|François|Friedman|García|Garza-Ríos|Gonzalez|Gray|Green|Gupta|Gutiérrez|Hall|Haroldson|Harris|Hayes|\
Henderson|Hernandez|Hoang|Horvath|Howard|Hughes|Ivanova|Jackson|James|Jenkins|Johansson|Johnson|Jones|Kaplan|Kaur|\
Kelly|Kennedy|Khan|King|Kovačević|Kowalski|Kuznetsov|Lee|Lefèvre|Lewis|Lightfoot|Lindqvist|Long|Lopez|MacDonald|\
Martin|Martinez|Mbeki|McAllister|McCarthy|Mehta|Mendoza|Miller|Mitchell|Moore|Morales|Morgan|Morris|Muñoz|Murphy|\
Myers|N'Diaye|Nakamura|Nelson|Nguyễn|Novak|Núñez|O'Connor|O'Malley|O'Neill|Okafor|Oliveira|Ortiz|Owens|Papadopoulos|\
Park|Parker|Patel|Patterson|Peña|Perez|Peterson|Pham|Phillips|Powell|Price|Quiñones|Ramirez|Reed|Reyes|Reynolds|\
Richardson|Rivera|Roberts|Robinson|Rodríguez|Rogers|Romero|Rosenberg|Ross|Russell|Saint-Pierre|Salazar|Sánchez|\
Sanders|Santos|Schäfer|Schmidt|Scott|Shah|Silva|Simmons|Singh|Smith|Smith-Jones|Snyder|Sørensen|St. John|Stewart|\
Sullivan|Suzuki|Takahashi|Taylor|Thomas|Thompson|Torres|Tran|Tsosie|Turner|van der Berg|Vargas|Vasquez|Volkov|Walker|\
Ward|Washington|Watson|Weber|White|Williams|Wilson|Wójcik|Wong|Wood|Wright|Yamamoto|Yazzie|Young|Zhang|Zieliński";

const STREETS: &str = "Acornfield|Alderwick|Amberstone|Ashmere|Badgerholt|Barleymow|Beaconfell|Bellwether|Birchlow|\
Brackenridge|Brambleton|Cairnhill|Candlewick|Cloverdown|Coldspring|Copperleaf|Cricklewood|Dovecote|Driftwood|Elderbrook|\
Emberfield|Fallowdeer|Fernhollow|Ferrystone|Finchley|Foxglove|Gablestone|Goldenrod|Greyheron|Harrowgate|Hazelnook|\
Heronmere|Hollybank|Indigo|Inkwell|Ivystone|Juniper Bluff|Kestrel|Kilnbrook|Lanternfield|Larkspur|Ledgerwood|Limekiln|\
Longmeadow|Marigold|Millrace|Mossbank|Nettlecombe|Nightingale|Oldorchard|Otterburn|Paperbark|Pebblebrook|Pinecone|\
Quailrun|Quarrystone|Ravenscar|Redfern|Rookery|Saddlebow|Saltmarsh|Silverbirch|Sparrowhawk|Stonechat|Swallowtail|\
Tallgrass|Thistledown|Thornapple|Turnstone|Umberfield|Violet Hollow|Waterlily|Weathervane|Wheatear|Willowmere|\
Windrush|Wrenfield|Yarrow";

const STREET_KINDS: &str =
    "Street|Street|Avenue|Avenue|Road|Lane|Drive|Drive|Court|Way|Boulevard|Place|Terrace|Trail";

const US_CITIES: &str = "Springfield/IL/62704|Peoria/IL/61602|Chicago/IL/60614|Chicago/IL/60640|Naperville/IL/60540|\
Rockford/IL/61107|Evanston/IL/60202|Carbondale/IL/62901|Quincy/IL/62301|Milwaukee/WI/53202|Madison/WI/53703|\
Gary/IN/46402|Indianapolis/IN/46204|Fort Wayne/IN/46802|St. Louis/MO/63103|Kansas City/MO/64106|Des Moines/IA/50309|\
Davenport/IA/52801|Minneapolis/MN/55401|Detroit/MI/48226|Grand Rapids/MI/49503|Columbus/OH/43215|Louisville/KY/40202|\
Coeur d'Alene/ID/83814|Winston-Salem/NC/27101|Nashville/TN/37203|Atlanta/GA/30303|Miami/FL/33130|Houston/TX/77002|\
El Paso/TX/79901|Denver/CO/80202|Phoenix/AZ/85003|Las Cruces/NM/88001|Sacramento/CA/95814|Los Angeles/CA/90012|\
Portland/OR/97205|Seattle/WA/98101|Boston/MA/02108|Newark/NJ/07102|Brooklyn/NY/11201|Philadelphia/PA/19103|\
Baltimore/MD/21201|San Juan/PR/00901|Honolulu/HI/96813|Anchorage/AK/99501";

/// Country, two address lines (`#` is the house number), city, region and postal code.
const FOREIGN: &str = "CA/# Loonsong Crescent//Toronto/ON/M5V 2T6|MX/Calle Garza Azul #/Col. Los Sauces/Guadalajara/JAL/44100|\
DE/Eisvogelweg #//Hamburg//20095|PH/# Sampaguita Bend/Barangay San Isidro/Quezon City/Metro Manila/1100|\
GB/Flat 2, # Otterburn Mews//London//SE1 7AA|HK/Flat 9B, # Egret Street//Kowloon//|\
CA/# rue du Héron-Bleu/App. 6/Montréal/QC/H2X 1Y4|IN/# Koel Marg/Shanti Nagar/Pune/Maharashtra/411001|\
JP/Sagi-machi 2-chome #//Setagaya-ku/Tokyo/154-0001|IE/# Curlew Park//Cork/Co. Cork/T12 A1B2|\
MX/Av. del Colibrí #, Int. 4/Col. Jardines/Mérida/YUC/97000|PL/ul. Czapli #/m. 8/Kraków//30-001|\
BR/Rua das Garças, #/Apto. 31/São Paulo/SP/01000-000|AE/Villa #, Ibis Lane//Dubai//|\
FR/# allée des Hérons//Lyon//69002|KR/# Hwangsae-ro//Seongnam-si/Gyeonggi-do/13500|\
DE/Zaunkönigstraße #/Hinterhaus/München//80331|CA/# Cedarwren Road//Vancouver/BC/V6B 1A1|\
PH/# Maya Street//Cebu City/Cebu/6000|GB/# Wrenfield Close//Leeds//LS1 4AB";

const COMPANY_WORDS: &str = "Amber|Anchor|Arrowhead|Bluestem|Bright Lantern|Brightwater|Cascade|Cobalt|Copper Kettle|\
Coral|Crescent|Driftwood|Eastgate|Evergreen|Falcon|Fernhill|Firefly|Four Corners|Golden Wren|Granite|Green Thumb|\
Highland|Ironwood|Juniper|Kingfisher|Lakeshore|Lighthouse|Maple Row|Meadowlark|Moonrise|Morningside|North Fork|Northstar|\
Old Mill|Orchard|Osprey|Paper Crane|Pinewood|Prairie|Quarry|Red Barn|Redwing|Riverstone|Sandhill|Silver Birch|\
Stonebridge|Sunflower|Tamarack|Timberline|Twin Oaks|Union|Westwind|Wild Plum|Windmill";

const COMPANY_KINDS: &str = "Auto Parts|Brewing|Builders|Catering|Children's Museum|Cleaners|\
Construction|Cooperative|Dairy|Electric|Engineering|Farms|Foods|Foundry|Furniture|Garden Center|Glassworks|\
Grocers|Hardware|Hotels|Landscaping|Logistics|Machine & Tool|Manufacturing|Media|Metals|Movers|Paper|Plumbing|Printing|\
Robotics|Shipping|Software|Textiles|Theater|Trucking|Veterinary";

const SPECIALTIES: &str = "Allergy & Asthma|Cardiology|Dermatology|Ear, Nose & Throat|Endocrinology|Eye Associates|\
Family Medicine|Family Practice|Gastroenterology|Internal Medicine|Medical Group|Neurology|Obstetrics & Gynecology|\
Oncology|Orthopedics|Pediatrics|Physical Therapy|Primary Care|Pulmonary|Rheumatology|Urology|Women's Health";

const DENTAL_KINDS: &str = "Children's Dentistry|Dental Arts|Dental Care|Dental Group|Dental Studio|Endodontics|\
Family Dental|Oral Surgery|Orthodontics|Periodontics|Smiles";

const FACILITY_KINDS: &str = "Community Hospital|Dialysis Center|Hospice|Imaging Center|Memorial Hospital|Nursing & Rehab|\
Regional Medical Center|Sleep Laboratory|Surgery Center|Urgent Care";

const BILLING_KINDS: &str = "Billing Services|Claims Partners|Medical Billing, LLC|Practice Solutions|Receivables, Inc.|\
Revenue Management";

/// SplitMix64, a small random number generator whose output never changes.
struct Draw {
    state: u64,
    abroad: usize,
}

impl Draw {
    fn from_seed(state: u64) -> Self {
        Self { state, abroad: 0 }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `first` to `last`.
    fn number(&mut self, first: u32, last: u32) -> u32 {
        let span = u64::from(last - first) + 1;
        first + (self.bits() % span) as u32
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.number(1, 100) <= percent
    }

    /// Returns one of the texts between the bars.
    fn pick(&mut self, texts: &'static str) -> &'static str {
        let count = texts.split('|').count() as u64;
        let chosen = self.bits() % count;
        texts.split('|').nth(chosen as usize).unwrap_or(texts)
    }

    fn date_in(&mut self, year: u32) -> String {
        let month = self.number(1, 12);
        let days = match month {
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        format!("{year}-{month:02}-{:02}", self.number(1, days))
    }

    fn us_address(&mut self, line2: Option<String>) -> Address {
        let (street, kind) = (self.pick(STREETS), self.pick(STREET_KINDS));
        let line1 = format!("{} {street} {kind}", self.number(1, 4800));
        let mut city = self.pick(US_CITIES).split('/').map(str::to_owned);
        let mut next = || city.next().unwrap_or_default();
        let line2 = line2.unwrap_or_default();
        Address([
            line1,
            line2,
            String::new(),
            next(),
            next(),
            next(),
            "US".into(),
        ])
    }

    /// Returns an address abroad; the countries take turns.
    fn foreign_address(&mut self) -> Address {
        let house = self.number(1, 190).to_string();
        let address = FOREIGN.split('|').cycle().nth(self.abroad);
        self.abroad += 1;
        let mut parts = address
            .unwrap_or_default()
            .split('/')
            .map(|part| part.replace('#', &house));
        let mut next = || parts.next().unwrap_or_default();
        let country = next();
        Address([
            next(),
            next(),
            String::new(),
            next(),
            next(),
            next(),
            country,
        ])
    }

    /// Returns a home address, about one in twelve abroad.
    fn home(&mut self) -> Address {
        if self.chance(8) {
            return self.foreign_address();
        }
        let line2 = match self.number(1, 20) {
            1..=3 => Some(format!(
                "Apt {}{}",
                self.number(1, 30),
                self.pick("A|B|C|D")
            )),
            4 => Some(format!("Unit {}", self.number(2, 400))),
            5 => Some(format!(
                "c/o {} {}",
                self.pick(FIRST_NAMES),
                self.pick(LAST_NAMES)
            )),
            _ => None,
        };
        let mut address = self.us_address(line2);
        if address.0[1].starts_with("c/o") && self.chance(50) {
            address.0[2] = format!("P.O. Box {}", self.number(10, 9900));
        }
        address
    }

    /// Returns an office address.
    fn office(&mut self) -> Address {
        if self.chance(2) {
            return self.foreign_address();
        }
        let line2 = match self.number(1, 10) {
            1..=3 => Some(format!("Suite {}", self.number(1, 60) * 10)),
            4 => Some(format!("Floor {}", self.number(2, 24))),
            _ => None,
        };
        self.us_address(line2)
    }

    /// Returns an agreement: usually current, sometimes outdated, sometimes missing.
    fn agreement(&mut self, id: &str, current: u32, old: u32) -> String {
        match self.number(1, 100) {
            n if n <= current => format!("{id}=2026-01"),
            n if n <= current + old => format!("{id}=2024-01"),
            _ => String::new(),
        }
    }

    /// Returns a name that isn't in use yet.
    fn new_name(
        &mut self,
        so_far: &mut BTreeSet<String>,
        name: impl Fn(&mut Self) -> String,
    ) -> String {
        loop {
            let name = name(self);
            if so_far.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Returns a tax ID that doesn't exist: none starts with 00.
    fn tax_id(&mut self, so_far: &mut BTreeSet<String>) -> String {
        self.new_name(so_far, |draw| {
            format!("00{:07}", draw.number(100_000, 9_999_999))
        })
    }
}

/// Three address lines, city, region, postal code and country.
#[derive(Clone)]
struct Address([String; 7]);

type Cells = Vec<String>;

fn members() -> Vec<Cells> {
    let mut draw = Draw::from_seed(11);
    let mut rows = Vec::new();
    let mut enrollee = 100_200_310;
    while rows.len() < 380 {
        rows.extend(family(&mut draw, enrollee));
        enrollee += draw.number(1, 9);
    }
    rows
}

/// Returns a subscriber with up to five dependents.
fn family(draw: &mut Draw, enrollee: u32) -> Vec<Cells> {
    let last = draw.pick(LAST_NAMES);
    let born = draw.number(1941, 1999);
    let mut people = vec![(draw.pick(FIRST_NAMES), last, draw.date_in(born))];
    let mut first_names = BTreeSet::from([people[0].0]);
    let mut another_name = |draw: &mut Draw| {
        loop {
            let name = draw.pick(FIRST_NAMES);
            if first_names.insert(name) {
                return name;
            }
        }
    };
    let (mut partner_last, mut younger) = (last, born);
    if draw.chance(55) {
        if draw.chance(30) {
            partner_last = draw.pick(LAST_NAMES);
        }
        let year = draw.number(born - 6, born + 5);
        younger = younger.max(year);
        people.push((another_name(draw), partner_last, draw.date_in(year)));
    }
    // Children are dependents until age 26.
    let (first, last_year) = ((younger + 20).max(2000), (younger + 42).min(2024));
    if first <= last_year && draw.chance(70) {
        let mut year = draw.number(first, (first + 12).min(last_year));
        while year <= last_year && people.len() < 6 {
            let child_last = match draw.number(1, 20) {
                1..=3 => partner_last,
                4 => draw.pick(LAST_NAMES),
                _ => last,
            };
            let birthday = draw.date_in(year);
            people.push((another_name(draw), child_last, birthday.clone()));
            if draw.chance(4) {
                people.push((another_name(draw), child_last, birthday));
            }
            if draw.chance(35) {
                break;
            }
            year += draw.number(2, 4);
        }
    }
    people.truncate(6);

    let home = draw.home();
    let mut rows = Vec::new();
    for (person, (first, own_last, birthday)) in people.into_iter().enumerate() {
        // Some adult dependents live elsewhere.
        let grown = person > 0 && birthday.as_str() < "2008";
        let address = if grown && draw.chance(8) {
            draw.home()
        } else {
            home.clone()
        };
        let mut row = vec![enrollee.to_string(), person.to_string()];
        row.extend([first, own_last, last].map(str::to_owned));
        row.push(birthday);
        row.extend(address.0);
        rows.push(row);
    }
    rows
}

fn agents() -> Vec<Cells> {
    let mut draw = Draw::from_seed(22);
    let groups = groups();
    let mut rows = Vec::new();
    let mut names = BTreeSet::new();
    let mut number = 10_010;
    let mut agent = |draw: &mut Draw, manager: &str, category: &str| {
        let first = draw.pick(FIRST_NAMES);
        let last = draw.pick(LAST_NAMES);
        let name = match draw.number(1, 20) {
            1 => draw.new_name(&mut names, |d| {
                format!("{last} {} Benefits, LLC", d.pick(COMPANY_WORDS))
            }),
            _ => format!("{first} {last}"),
        };
        let ssn_last4 = format!("{:04}", draw.number(1, 9999));
        let agreement = draw.agreement("producer_agreement", 74, 13);
        let mut codes = BTreeSet::new();
        for _ in 0..draw.number(1, 3) {
            let group = draw.number(0, groups.len() as u32 - 1) as usize;
            let some = groups[group].codes.iter().filter(|_| draw.chance(70));
            codes.extend(some.map(String::as_str));
        }
        let codes = codes.into_iter().collect::<Vec<_>>().join(";");
        number += draw.number(1, 7);
        let id = format!("AG{number}");
        let row = [
            &id, &name, first, last, &ssn_last4, manager, &agreement, &codes, category,
        ];
        rows.push(row.map(str::to_owned).to_vec());
        id
    };
    // Managing agents report to managing agents, and agents report to those.
    for _ in 0..10 {
        let general = agent(&mut draw, "", "managing_agent");
        for _ in 0..draw.number(1, 4) {
            let managing = agent(&mut draw, &general, "managing_agent");
            for _ in 0..draw.number(2, 7) {
                agent(&mut draw, &managing, "agent");
            }
        }
    }
    // Some agents report to nobody.
    for _ in 0..80 {
        agent(&mut draw, "", "agent");
    }
    rows
}

struct Group {
    codes: Vec<String>,
    row: Cells,
}

fn groups() -> Vec<Group> {
    let mut draw = Draw::from_seed(33);
    let mut names = BTreeSet::new();
    let mut tax_ids = BTreeSet::from(["001234567".to_owned(), "002345678".to_owned()]);
    let mut number = 20_010;
    let mut groups = Vec::new();
    for serial in 1..=240 {
        let name = draw.new_name(&mut names, |d| {
            let ending = d.pick("||||, Inc.| & Sons");
            format!(
                "{} {}{ending}",
                d.pick(COMPANY_WORDS),
                d.pick(COMPANY_KINDS)
            )
        });
        let initials: String = name
            .split(' ')
            .take(2)
            .filter_map(|word| word.chars().next())
            .collect();
        let letters = ["A", "B", "C", "D", "E", "F"].into_iter();
        let divisions = if draw.chance(40) {
            1
        } else {
            draw.number(2, 6)
        };
        let codes: Vec<_> = letters
            .take(divisions as usize)
            .map(|letter| format!("{initials}{serial:03}{letter}"))
            .collect();
        let category = if divisions > 2 {
            "large_group"
        } else {
            "small_group"
        };
        number += draw.number(1, 9);
        let tax_id = draw.tax_id(&mut tax_ids);
        let mut row = vec![
            format!("GR{number}"),
            name,
            tax_id,
            codes.join(";"),
            category.to_owned(),
        ];
        row.extend(draw.office().0);
        groups.push(Group { codes, row });
    }
    groups
}

fn providers() -> Vec<Cells> {
    let mut draw = Draw::from_seed(44);
    let mut names = BTreeSet::new();
    let mut tax_ids = BTreeSet::new();
    let mut number = 30_010;
    let mut rows = Vec::new();
    for _ in 0..280 {
        let (category, participating, kinds) = match draw.number(1, 100) {
            1..=30 => ("medical_group", 78, SPECIALTIES),
            31..=52 => ("individual", 72, ""),
            53..=74 => ("dental", 60, DENTAL_KINDS),
            75..=87 => ("facility", 80, FACILITY_KINDS),
            _ => ("billing_agency", 0, BILLING_KINDS),
        };
        let name = draw.new_name(&mut names, |d| match category {
            "individual" => {
                let (first, last) = (d.pick(FIRST_NAMES), d.pick(LAST_NAMES));
                d.pick("Dr. @|Dr. @|@, MD|@, NP|@, LCSW")
                    .replace('@', &format!("{first} {last}"))
            }
            _ => format!("{} {}", d.pick(COMPANY_WORDS), d.pick(kinds)),
        });
        let (participating, agreement) = match category {
            "billing_agency" => ("", draw.agreement("signatory_agreement", 55, 10)),
            _ if draw.chance(participating) => ("yes", String::new()),
            _ => ("no", String::new()),
        };
        number += draw.number(1, 9);
        let tax_id = draw.tax_id(&mut tax_ids);
        let mut row = vec![format!("PV{number}"), name, tax_id];
        row.extend([category, participating, &agreement].map(str::to_owned));
        row.extend(draw.office().0);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    use vestibule_domain::feed::Feed;
    use vestibule_domain::policy::Slug;
    use vestibule_domain::state::record::NewRecord;
    use vestibule_domain::values::record_kind::Fact;

    fn folder() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../sample-records"))
    }

    /// Returns all records of a kind, none of which may be rejected.
    fn records(kind: RecordKind) -> Vec<NewRecord> {
        let csv = generate(kind);
        let feed = Feed::open(kind, &Slug::parse(PLAN).unwrap(), csv.as_bytes()).unwrap();
        feed.collect::<Result<_, _>>().unwrap()
    }

    /// Returns the percentage of records that match.
    fn percent(records: &[NewRecord], which: impl Fn(&NewRecord) -> bool) -> usize {
        records.iter().filter(|r| which(r)).count() * 100 / records.len()
    }

    fn on_file<'a>(record: &'a NewRecord, agreement: &str) -> Option<&'a str> {
        record.data.agreements.get(agreement).map(String::as_str)
    }

    fn abroad(record: &NewRecord) -> bool {
        record
            .data
            .address
            .as_ref()
            .is_some_and(|a| a.country.as_str() != "US")
    }

    #[test]
    fn sample_records_are_those_that_are_committed() {
        for &kind in RecordKind::ALL {
            let file = folder().join(feed::file_name(kind));
            let committed = std::fs::read_to_string(&file).unwrap();
            assert!(
                committed == generate(kind),
                "{} differs from the generated records; update it with `cargo run -p vestibule-local --bin make-sample-records`",
                file.display()
            );
        }
    }

    #[test]
    fn sample_records_are_explained_column_by_column() {
        let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
        for &kind in RecordKind::ALL {
            let section = readme
                .split("\n## ")
                .find(|s| s.starts_with(feed::file_name(kind)))
                .unwrap();
            for column in feed::columns(kind) {
                let row = format!(
                    "| `{}` | {} |",
                    column.name,
                    if column.required { "yes" } else { "no" }
                );
                assert!(section.contains(&row), "{kind:?} {row}");
            }
        }
    }

    #[test]
    fn sample_records_are_some_hundreds_each_and_all_different() {
        for &kind in RecordKind::ALL {
            let records = records(kind);
            assert!(
                (200..=500).contains(&records.len()),
                "{kind:?} {}",
                records.len()
            );
            let keys: BTreeSet<_> = records.iter().map(|r| &r.key).collect();
            assert_eq!(keys.len(), records.len(), "{kind:?}");
            let tax_ids: Vec<_> = records
                .iter()
                .filter_map(|r| r.facts.get(&Fact::TaxId))
                .collect();
            assert!(tax_ids.iter().all(|id| id.expose().starts_with("00")));
            let different: BTreeSet<_> = tax_ids.iter().map(|id| id.expose()).collect();
            assert_eq!(different.len(), tax_ids.len());
        }
    }

    #[test]
    fn sample_records_begin_with_those_that_everything_relies_on() {
        for (kind, expected) in [
            (
                RecordKind::Member,
                "100200301/0 Maria Alvarez|100200301/1 Diego Alvarez|100200301/2 Lucía Moreno|100200302/0 Thomas O'Brien|\
                 100200303/0 Annika Müller|100200304/0 Grace Kim|100200304/1 Ethan Kim|100200304/2 Olivia Kim",
            ),
            (
                RecordKind::Agent,
                "AG10001/0 Dana Whitfield|AG10002/0 Luis Ortega|AG10003/0 Priya Nair",
            ),
            (
                RecordKind::Group,
                "GR20001/0 Blue Heron Manufacturing|GR20002/0 Cedar & Pine Bakery",
            ),
            (
                RecordKind::Provider,
                "PV30001/0 Lakeside Family Medicine|PV30002/0 Riverbend Dental|PV30003/0 Oakview Dental Studio|\
                 PV30004/0 Summit Orthopedics|PV30005/0 Clearwater Billing Services|PV30006/0 Mercy Street Hospital|\
                 PV30007/0 Dr. Hannah Weiss",
            ),
        ] {
            let found: Vec<_> = records(kind)
                .into_iter()
                .map(|r| format!("{}/{} {}", r.key.number, r.key.person, r.data.name))
                .collect();
            let expected: Vec<_> = expected.split('|').collect();
            assert_eq!(found[..expected.len()], expected);
        }
        // Tests rely on AG10001 managing exactly two agents.
        let under = |r: &NewRecord| r.data.manager.as_deref() == Some("AG10001");
        assert_eq!(
            records(RecordKind::Agent)
                .iter()
                .filter(|r| under(r))
                .count(),
            2
        );
    }

    #[test]
    fn sample_members_are_families_of_every_sort() {
        let members = records(RecordKind::Member);
        assert!((5..=12).contains(&percent(&members, abroad)));
        for country in ["CA", "MX", "DE", "PH", "GB", "HK"] {
            let there = |r: &NewRecord| {
                r.data
                    .address
                    .as_ref()
                    .is_some_and(|a| a.country.as_str() == country)
            };
            assert!(members.iter().any(there), "{country}");
        }
        let mut families: BTreeMap<&str, Vec<&NewRecord>> = BTreeMap::new();
        for member in &members {
            families.entry(&member.key.number).or_default().push(member);
        }
        let sizes: BTreeSet<_> = families.values().map(Vec::len).collect();
        assert!(sizes.iter().eq(&[1, 2, 3, 4, 5, 6]), "{sizes:?}");
        let same = |a: &NewRecord, b: &NewRecord, fact| a.facts[&fact] == b.facts[&fact];
        for family in families.values() {
            assert!(
                family
                    .iter()
                    .enumerate()
                    .all(|(i, m)| usize::from(m.key.person) == i)
            );
            assert!(
                family
                    .iter()
                    .all(|m| same(m, family[0], Fact::SubscriberLastName))
            );
            assert!(family[0].facts[&Fact::LastName] == family[0].facts[&Fact::SubscriberLastName]);
        }
        let other_name =
            |r: &NewRecord| r.facts[&Fact::LastName] != r.facts[&Fact::SubscriberLastName];
        assert!((5..=25).contains(&percent(&members, other_name)));
        let twins = |f: &Vec<&NewRecord>| {
            f.windows(2)
                .any(|two| same(two[0], two[1], Fact::DateOfBirth))
        };
        assert!(families.values().filter(|f| twins(f)).count() >= 2);
    }

    #[test]
    fn sample_agents_work_under_agents_who_work_under_agents() {
        let agents = records(RecordKind::Agent);
        let manager_of: BTreeMap<_, _> = agents
            .iter()
            .map(|r| (r.key.number.as_str(), r.data.manager.as_deref()))
            .collect();
        let above = |agent: &str| manager_of[agent];
        assert!(
            agents
                .iter()
                .filter_map(|r| r.data.manager.as_deref())
                .all(|m| manager_of.contains_key(m))
        );
        let levels =
            |r: &NewRecord| std::iter::successors(above(&r.key.number), |m| above(m)).count();
        let levels: BTreeSet<_> = agents.iter().map(levels).collect();
        assert!(levels.iter().eq(&[0, 1, 2]), "{levels:?}");
        for (revision, least) in [(Some("2026-01"), 60), (Some("2024-01"), 8), (None, 8)] {
            assert!(
                percent(&agents, |r| on_file(r, "producer_agreement") == revision) >= least,
                "{revision:?}"
            );
        }
    }

    #[test]
    fn sample_groups_have_one_to_six_codes_and_agents_have_codes_of_groups() {
        let groups = records(RecordKind::Group);
        let counts: BTreeSet<_> = groups.iter().map(|r| r.data.group_codes.len()).collect();
        assert!(counts.iter().eq(&[1, 2, 3, 4, 5, 6]), "{counts:?}");
        let codes: Vec<_> = groups.iter().flat_map(|r| &r.data.group_codes).collect();
        let different: BTreeSet<_> = codes.iter().copied().collect();
        assert_eq!(codes.len(), different.len());
        for agent in records(RecordKind::Agent) {
            assert!(
                agent
                    .data
                    .group_codes
                    .iter()
                    .all(|code| different.contains(code))
            );
        }
    }

    #[test]
    fn sample_providers_are_of_every_category_and_participate_or_not() {
        let providers = records(RecordKind::Provider);
        let mut found: BTreeMap<_, usize> = BTreeMap::new();
        for provider in providers {
            assert!(provider.data.address.is_some());
            let signed = provider.data.agreements.get("signatory_agreement").cloned();
            *found
                .entry((provider.data.category, provider.data.participating, signed))
                .or_default() += 1;
        }
        let mut expected = Vec::new();
        for category in ["dental", "facility", "individual", "medical_group"] {
            expected.extend([(category, Some(true), None), (category, Some(false), None)]);
        }
        for signed in [Some("2026-01"), Some("2024-01"), None] {
            expected.push(("billing_agency", None, signed));
        }
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (category, participating, signed) in expected {
            let key = (
                Some(category.to_owned()),
                participating,
                signed.map(str::to_owned),
            );
            assert!(
                found.get(&key).is_some_and(|n| *n >= 2),
                "{key:?} {found:?}"
            );
        }
    }
}
