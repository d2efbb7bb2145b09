"""Makes corpora/lexicons/gender/{family_names,english_words}.txt from three Python and JavaScript packages.

    pip download --no-deps names==0.3.0 pyspellchecker==0.9.1; npm pack word-list@4.1.0   # then unpack the three
    python3 scripts/lexicon_lists.py FOLDER_OF_names FOLDER_OF_spellchecker FOLDER_OF_word-list

family_names.txt: first names of names_female.txt and names_male.txt that are more common in the United States as a
family name than as a first name (1990 census).
english_words.txt: words of word-list that occur at least 100 times in the counts of pyspellchecker, without first names
and family names, except the words below, which are more often ordinary words.
"""

import gzip
import json
import sys
from pathlib import Path

# First names of the two lists that are English words in the first place.
WORDS_BEFORE_NAMES = """
abbey abbot abed ace ad admiral ado agape ago ai aide ailing akin alder ales alias alike alp alter amber ambrosia
amethyst amid amity angelic anise ante ants any archer are arena aroma art ascension atom aura aurora autumn avid baker
banks baptist bard baron bear beat beauty beaver beg beryl bet beta bill birch bishop bitten blade bland blend blossom
booth boss boy brain bran brand brandy brewer brick bride bright buck bud buddy burr bush buster butch butler buzz
cadence cameo candy cannon canon caprice captain caress carver case castor cayenne chalice chamberlain champ chance
chancellor channel charisma charity chase chastity cherish cherry china chip christian chuck cinnamon clay clemency
cliff clover cocoa colt come conception constant cooper coral cord cotton cougar countess coy coyote creed crew cruise
crystal curd curt czar daisy dandy danish dawn deacon dean dent derrick dervish die diesel dimple din diva dock dodge
dolly dome don dot drake duchess duff duke dyer dynasty earl earnest ebony edit elder else ember emerald emir empress
eon epiphany era essence euro eve even faith falcon fancy fares fauna favor fawn fee fella fern ferry fey flint flora
ford forest foster fox franc frank french fried friend frost fuchsia fuller gala garrison geisha general genie gent
german ginger given glen glory glover gorge grace grant great greet grim grove guru gust guy hamlet happiness harm
harmony harsh hart hawk hazel heath heather heavenly henna herald herb heros hew hind holly holt honey hood hope hunt
hunter icy immaculate indie innocent into ion iris iron ivy jack jade jam jasmine jay jetty job joke joy judge junior
kale kart kinda king kitty lace lady laid lance lander lap lavender liberty light lilac lily line link lion lira lock
lode lolly long lord lore lotus lovely luck luster mace major make mania manly manna maple marine mark marks marque
marquis marry mars mart martial mason master mat mate maverick maxim maxima may meadow media meet melody memo men
mercer mercury mercy messiah meta mi mic mile miles mine mini minus miso misty mitt modest modesty moody moose moss
nacho nail nanny nickel nine ninja nirvana noble norm nova novella odd okay olive opal oral owe pal pall pansy papa
parfait pastor pate patience patina patriot peaches pearl pearly pebbles peep peer peg penne penny peony per petal
pharaoh pierce pilot piper pit pixie placid polo poppy porter powers precious pretty price prime primrose prince
princess pristine prosper prudence prudent prune purity queen rabbi raid rainy ram ransom ray rayon real rector reed
regent rehab rejoice rich richer ridge rim rip roar rob rock rocket rocky rod roman romans rosary rose rosemary rosy
rowdy ruby rush rusty rut saber sable sad saffron saga said sales saline salmon samba sapphire satin savage savanna
saviour scarlet scooter season seedy serene serenity serif set sever shady shaker shaman she shepherd sheriff sherry
shiny shun sierra silken sine sir sissy skip slim sly sonata spike squire stark steed steel sterling steward stone sue
suet summer sunshine sweetie taco tad tank tanner tapas tawny tea tell temperance thane thong thy tiara tome ton topper
tram treasure trim trinity tuba tuck tulip twinkle tyke unique unity unto urban usher vanilla vanity veer velvet venus
verity vie vigor viola violet viral vital wade wail walker wander wanting ward warden west wheeler wick wilder will
willow wills wisdom wit wolf wood woody worthy
""".split()

# Words of the list that are names in the first place.
FAMILY_NAMES = {"einstein", "tesla", "twain"}


def shares(path):
    """Names with the share of people, in percent."""
    return {line.split()[0].lower(): float(line.split()[1]) for line in path.read_text().splitlines() if line.strip()}


def main():
    names, spelling, words = map(Path, sys.argv[1:4])
    out = Path(__file__).parent.parent / "corpora/lexicons/gender"
    first_names = {name for pole in ("female", "male") for name in (out / f"names_{pole}.txt").read_text().split()}
    last = shares(names / "names/dist.all.last")
    female, male = shares(names / "names/dist.female.first"), shares(names / "names/dist.male.first")
    first = {name: (female.get(name, 0.0) + male.get(name, 0.0)) / 2 for name in female.keys() | male.keys()}

    family = sorted(name for name in first_names if last.get(name, 0.0) > first.get(name, 0.0))
    (out / "family_names.txt").write_text("\n".join(family) + "\n")

    counts = json.load(gzip.open(spelling / "spellchecker/resources/en.json.gz"))
    listed = {word for word in (words / "words.txt").read_text().split() if counts.get(word, 0) >= 100}
    rather_names = {w for w in listed if (last.get(w, 0.0) >= 0.002 and counts[w] < 1500) or w in first_names | FAMILY_NAMES}
    english = sorted(listed - rather_names | set(WORDS_BEFORE_NAMES) | {"a", "i"})
    (out / "english_words.txt").write_text("\n".join(english) + "\n")
    print(f"{len(family)} family names, {len(english)} words")


if __name__ == "__main__":
    main()
