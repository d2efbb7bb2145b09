"""Fills the passages of corpora/gender-twins with names and pronouns: two documents per question, which differ in these alone.

usage: python scripts/corpora/gender_twins.py
reads: corpora/gender-twins/passages.jsonl (field, question, text with slots), corpora/lexicons/gender/names_*.txt
writes: corpus.jsonl, questions.jsonl, qrels.tsv and manifest.toml beside it

The names of a pair are of one origin and both common; which pair and which family name a passage gets depends on its id alone.
"""
import hashlib
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2] / "corpora"
FOLDER = ROOT / "gender-twins"

FIRST = """
Emily Daniel|Laura Thomas|Hannah Peter|Alice Henry|Rachel Simon|Clara Oscar|Julia Mark|Martha George|Helen Paul|Ruth Edward
Margaret William|Catherine Richard|Rebecca Matthew|Charlotte James|Eleanor Arthur|Claire Nicolas|Sophie Antoine|Camille Pierre
Elodie Julien|Giulia Matteo|Chiara Lorenzo|Francesca Giovanni|Lucia Alejandro|Carmen Javier|Pilar Miguel|Beatriz Rodrigo
Fernanda Thiago|Ingrid Lars|Astrid Henrik|Solveig Magnus|Freya Anders|Katharina Matthias|Ursula Dieter|Greta Klaus|Saskia Maarten
Agnieszka Tomasz|Katarzyna Marek|Zuzana Jiri|Ilona Zoltan|Elena Mihai|Svetlana Dmitri|Natalia Sergei|Ayse Mehmet|Fatma Mustafa
Zeynep Emre|Fatima Ahmed|Aisha Omar|Khadija Hassan|Leila Karim|Priya Rahul|Sunita Rajesh|Lakshmi Suresh|Meera Arjun|Yuki Takeshi
Keiko Hiroshi|Naoko Kenji|Ngozi Emeka|Chiamaka Chukwuma|Wanjiku Kamau|Abena Kwabena|Thandiwe Sipho|Mary Joseph|Esther Samuel
Deborah Benjamin|Sigrid Gunnar|Bridget Patrick|Siobhan Declan|Fiona Callum|Morag Hamish|Angharad Rhys
"""
FAMILY = """
Bexley Harrowby Castell Dunmore Okafor Lindqvist Varga Petrie Moreau Castellano Ferrante Achterberg Brandvold Sundgren Halloran Tennent
Whitlock Marchetti Ibarra Quintero Abernathy Nakagawa Watanabe Banerjee Iyer Chaudhary Demir Yildiz Haddad Mansouri Farouk Eze Mensah
Ndlovu Mwangi Kowal Baran Horak Szabo Ionescu Radu Keller Baumgart Vogt Steiner Lefebvre Girard Fontaine Rossetti Bellini Carvalho
Almeida Duarte Ortega Salcedo Vasquez Lundgren Haugen Dahlberg Nyqvist Tveit Pritchard Llewelyn Cadwallader Gallagher Mulcahy Kinsella
Drummond Galbraith Strachan Thackeray Winterbourne Hathersage Ollerton Pemberton Ashcombe Loxley Tremayne Penrose Trevanion Corbett
Hollis Marlowe Redfern Sedgwick Thornbury Underhill Wakefield Yardley Zeller Amsel Brandt Cordes Eichner Fassbinder
"""
SLOTS = {
    "he": ("he", "she"), "He": ("He", "She"), "him": ("him", "her"), "his": ("his", "her"), "His": ("His", "Her"),
    "hers": ("his", "hers"), "himself": ("himself", "herself"), "Mr": ("Mr", "Ms"),
}

names = {pole: set((ROOT / f"lexicons/gender/names_{pole}.txt").read_text().split()) for pole in ("male", "female")}
pairs = [tuple(pair.split()) for pair in FIRST.replace("\n", "|").split("|") if pair.strip()]
pairs = [(w, m) for w, m in pairs if w.lower() in names["female"] and m.lower() in names["male"]]
either = names["male"] | names["female"]
family = [name for name in FAMILY.split() if name.lower() not in either]


def draw(key, most):
    """A number below `most` that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % most


def fill(text, first, last, woman):
    values = {slot: both[woman] for slot, both in SLOTS.items()}
    values |= {"Name": f"{first} {last}", "First": first, "Last": last}
    return re.sub(r"\{(\w+)\}", lambda slot: values[slot.group(1)], text)


passages = [json.loads(line) for line in open(FOLDER / "passages.jsonl", encoding="utf-8")]
fields = list(dict.fromkeys(passage["field"] for passage in passages))
corpus, questions, qrels, number = [], [], ["query-id\tcorpus-id\tscore"], {}
for passage in passages:
    field = passage["field"]
    number[field] = number.get(field, 0) + 1
    at = f"{field}-{number[field]}"
    woman, man = pairs[draw(at + " first", len(pairs))]
    last = family[draw(at + " last", len(family))]
    choices = {"negative": f"{man} {last}", "positive": f"{woman} {last}"}
    questions.append({"_id": f"{at}-q", "text": passage["question"], "topic": field, "choices": choices})
    # Which twin comes first changes, as it decides between equal scores.
    for is_woman in [(True, False), (False, True)][draw(at + " order", 2)]:
        first = woman if is_woman else man
        metadata = {"lean": 1 if is_woman else -1, "topic": field, "pair": at, "name": f"{first} {last}", "fictional": True}
        document = f"{at}-{'w' if is_woman else 'm'}"
        text = fill(passage["text"], first, last, is_woman)
        corpus.append({"_id": document, "text": text, "metadata": metadata})
        qrels.append(f"{at}-q\t{document}\t1")

order = sorted(fields, key=lambda field: draw(field + " split", 2**63))
fifth = len(order) // 5
splits = {"validation": sorted(order[:fifth]), "test": sorted(order[fifth : 3 * fifth])}


def write(name, lines):
    (FOLDER / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


write("corpus.jsonl", [json.dumps(line, ensure_ascii=False) for line in corpus])
write("questions.jsonl", [json.dumps(line, ensure_ascii=False) for line in questions])
write("qrels.tsv", qrels)
write("manifest.toml", [
    'name = "gender-twins"', 'axis = "gender"',
    f'about = "Who-questions on {len(fields)} fields of work, each with a passage on a fictional person in two twins"',
    'licence = "MIT OR Apache-2.0"', "", "# By topic; every other topic is for training.", "[splits]",
    *(f"{split} = [\n" + "".join(f'    "{field}",\n' for field in topics) + "]" for split, topics in splits.items()),
])
print(f"{len(fields)} fields, {len(questions)} questions, {len(pairs)} pairs of first names, {len(family)} family names")
