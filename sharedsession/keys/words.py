"""Words that stand first in lists of guesses, and the ways in which they are varied and hashed.

``sha256(b"password")`` looks random and is the first thing that is tried. The list is short on purpose: it holds what
is common in examples and among passwords, no dictionary.
"""

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache

# fmt: off
_WORDS = """
000000 0000000000 010203 102030 1111 111111 11111111 112233 121212 123 123123 123321 1234 12341234 12345 123456 1234567
12345678 123456789 1234567890 123abc 123qwe 131313 1q2w3e 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 222222 232323 321 333333 42 4321
444444 54321 555555 654321 666666 696969 777777 7777777 87654321 888888 88888888 987654 987654321 999999 a a1b2c3
aa123456 aaaaaa abc abc123 abc12345 abcd abcd1234 abcde abcdef abcdefg access action admin admin123 administrator adobe
adrian aes aeskey africa airport alex alexander alice amanda amber america anaconda andrea andrew android angel angela
animal anna anonymous anthony api api-key api_key apikey app app_secret apple application arsenal art arthur asdf
asdf1234 asdfasdf asdfgh asdfghjkl ashley asp aspnet august austin auth autumn azerty baby backup banana bandit banking
barcelona barney baseball basic basket basketball bat batman beach bear beaver benjamin bigdog bird bitcoin black
blackberry blahblah blink182 blog blowfish blue bob book boot boston brandon brandy bread brian bridge bubbles buster
butter butterfly cache calvin camaro camera cameron canada car carlos cat cell chair champion change change-me
change-this change_it change_me changeit changeme changethis changethiskey charles charlie cheese chelsea cherry
chester chicago chicken china chocolate chris christian christopher cipher city clear client cloud coffee computer
config cookie cookie_secret cookies cooper correct corvette country cowboy cowboys creative crypto customer dakota
dallas daniel data database david day dbpassword debug december default default_secret defaultkey demo deploy dev
dev-secret devel developer development devkey devpassword devsecret diamond digital django django-insecure docker
doctor dog dolphin donald door doraemon dragon dummy eagle earth easy eclipse edward elephant elizabeth encrypt
encryption encryption_key enter eric europe example example.com express extreme eye facebook faith family farm fastapi
february ferrari file fire fish fishing flask flask-secret flower fluffy foo foobar foobarbaz food football ford forest
forever france france98 frank freddy freedom friday friend friends function game gandalf garden gateway gemini genius
george germany ghost giants ginger girl github god gold golden golf golfer good google grace green guest guitar hacker
hammer hannah happy hardcore harley harry head heart heaven hello hello-world hello123 hello_world hellokitty
helloworld hmac hockey holiday home honey horse host hotdog house hunter hunter2 iceman iloveyou india insecure
internet iphone island italy jack jackie jackson jaguar jake james january jasmine jason java javascript jennifer
jessica jesus jetty john johnny jonathan jordan jordan23 joseph joshua july june junior jupiter justin jwt jwt-secret
jwt_secret jwtsecret kevin key key1 keyboard keyboardcat keykey killer king kitchen kitten knight kubernetes lakers
language laravel lauren legend letmein liberty library life light lion liverpool localhost lock login london lorem
loremipsum love lovely loveme lucky machinekey madison maggie magic mail manager march maria marina marine mark market
marlboro martin marvin master masterkey matrix matt matthew maverick max maxwell may melissa memcached merlin message
michael michelle mickey midnight mike mimi minecraft mobile monday money monitor monkey monster moon morgan morning
mother mountain movie music mustang my my-secret my-secret-key my_secret my_secret_key mykey mypassword mysecret
mysecretkey mysql naruto nascar natasha nathan network newyork nginx nicholas nicole ninja nirvana node nodejs nopass
nopassword nothing november null number october office ok online oracle orange origin other p@ssw0rd p@ssword packers
page pakistan panther paper paris parker pass pass1234 passphrase passport passw0rd password password1 password12
password123 passwort patrick peace peanut pencil pepper pepsi peter phoenix php pink placeholder planet player please
pokemon police pony pool porsche postgres power prince princess privacy private private_key privatekey prod production
public purple pyramid python q1w2e3 q1w2e3r4 qazwsx qazwsxedc qwe123 qweasd qweasdzxc qwer1234 qwert qwerty qwerty123
qwertyuiop rabbit rachel radio rails rainbow random randomkey randomstring ranger rangers react red redis redsox
replace replace-me replaceme richard river road robert robot rocket rocky root rosebud russia sabrina saint salt
saltsalt sam sammy sample samsung samuel sandbox saturday scarlet school scooby scooter scorpion scott sea secret
secret-key secret1 secret123 secret_key secretkey secretpassword secrets secretsecret secure security sees september
server service session session-secret session_key session_secret sessionkey sessions sessionsecret shadow shared
sharedsecret sharedsession shop sierra silver simple site smokey snoopy snow soccer software somesecret something space
spain spanky sparky spiderman spring square staging star starlette startrek starwars steelers stella stephen steve
steven storage store street string student sugar summer sun sunday sunshine super super-secret super_secret superman
supersecret supersecretkey superuser support swordfish sydney system t0psecret table taylor tea teacher team tennis
teresa test test-key test-secret test1 test123 test1234 tester testing testkey testpass testsecret theme thomas thunder
thursday thx1138 tiger tigger time tobedefined todo token token_secret tomcat toor top-secret topsecret tornado toyota
train travel travis tree trinity trustme trustno1 tuesday turtle unknown unsafe user username value vampire victor
victoria video viking violet volvo voodoo walter warrior water weather web webapp webfarm webmaster website wednesday
welcome welcome1 werkzeug whatever white wilson window windows winner winston winter wizard wolf woman wordpress work
world xxx xxxxxx yamaha yankees yellow your-256-bit-secret your-secret your-secret-key your_secret_key yoursecret
yoursecretkey youtube zaq12wsx zaq1zaq1 zxcvbn zxcvbnm zzzzzz
""".split()  # noqa: SIM905  (a list would be three times as long)
_ENDINGS = ("", "123", "\n", "123\n")  # ``echo`` adds a line end
_HASHES = {
    16: ("md5", "sha1", "sha256"), 20: ("sha1",), 28: ("sha224",), 32: ("sha256",), 48: ("sha384",), 64: ("sha512",),
}
# fmt: on
_KNOWN_BY = 8  # bytes of a hash: enough to tell it from all that is random


def is_hash_of_word(value: bytes) -> bool:
    """Returns whether some bytes are the hash of a word on the list, also the first 16 bytes of a longer hash."""
    if len(value) not in _HASHES:
        return False
    known, beginning = _beginnings(len(value)), int.from_bytes(value[:_KNOWN_BY], "big")
    place = bisect_left(known, beginning)
    return place < len(known) and known[place] == beginning


@cache
def _beginnings(size: int) -> "array[int]":
    """Returns how the hashes of one size begin, sorted; made once, at the first secret of that size."""
    found = array("Q")
    for name in _HASHES[size]:
        hashed = getattr(hashlib, name)
        found.extend(
            int.from_bytes(hashed(guess, usedforsecurity=False).digest()[:_KNOWN_BY], "big") for guess in _guesses()
        )
    return array("Q", sorted(found))


def _guesses() -> Iterator[bytes]:
    for word in ("", *_WORDS):
        for spelled in dict.fromkeys((word, word.capitalize(), word.upper())):
            for ending in _ENDINGS:
                yield (spelled + ending).encode()
