"""The words each style and colour goes by, and everyday words that ask for none."""

from collections.abc import Mapping
from types import MappingProxyType

from slipstream_engine.train.styles import IDENTITY


def _list(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip())


PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        IDENTITY: _list("""
            original, none, nothing, no style, unchanged, natural, plain, normal, off, raw, as
            it is, real life, realistic, photorealistic, untouched, neutral"""),
        "pencil": _list("""
            pencil, pencil drawing, pencil sketch, sketch, graphite, hand drawn, drawing,
            charcoal, charcoal drawing, line art, line drawing, crayon, doodle, scribble,
            sketchbook, black and white drawing,
            storyboard, lead pencil, draft, ink sketch, drawn on paper, manga"""),
        "neon": _list("""
            neon, neon lights, neon sign, glowing lines, glowing edges, glow, fluorescent, neon
            tubes, light tubes, laser, lasers, tron, blacklight, rave, disco, electric lines,
            arcade, glow in the dark, luminous, light painting, hologram, holographic"""),
        "thermal": _list("""
            thermal, thermal camera, infrared, heat vision, heat map, heatmap, predator,
            temperature, thermography, thermal imaging, heat signature, thermal vision, heat
            camera, body heat, false colour, false color"""),
        "comic": _list("""
            comic, comic book, comics, cartoon, cartoonish, graphic novel, superhero, cel
            shaded, cel shading, inked, toon, animation, animated, anime, spider verse, marvel,
            bold outlines, caricature, ink outlines, tintin, borderlands"""),
        "oil painting": _list("""
            oil painting, oil, oil paint, painting, painted, painterly, brush strokes,
            brushstrokes, canvas, impressionist, impressionism, van gogh, rembrandt,
            renaissance, monet, old master, classical painting, acrylic, portrait painting,
            palette knife, baroque, fine art, gallery, masterpiece"""),
        "watercolour": _list("""
            watercolour, watercolor, aquarelle, watercolour painting, wash, pastel, pastels,
            soft colours, pale colours, gouache, water colours, storybook, dreamy, delicate,
            children's book, faded, tender, gentle wash, tinted"""),
        "blueprint": _list("""
            blueprint, technical drawing, architect, architectural drawing, schematic,
            cyanotype, engineering drawing, plan, diagram, cad, draughtsman, floor plan,
            design plan, wireframe"""),
        "cyberpunk": _list("""
            cyberpunk, futuristic, futuristic city at night, synthwave, vaporwave, blade runner,
            cyber, cyborg, sci fi, science fiction, retrowave, neon city, night city, matrix,
            dystopian, tokyo at night, outrun, robot, android, hacker"""),
        "ice": _list("""
            ice, icy, frozen, frost, frosty, snow, snowy, winter, arctic, glacier, cold,
            crystal, frostbite, ice sculpture, blizzard, polar, north pole, snow queen,
            antarctica, chilled, freezing, made of ice, glass, icicle, hail"""),
        "lava": _list("""
            lava, magma, volcano, volcanic, fire, fiery, flames, burning, inferno, hell, molten,
            embers, eruption, blazing, furnace, hot coals, demon, on fire, hellfire, burn,
            ablaze, dragon, devil, phoenix, molten rock"""),
        "gold": _list("""
            gold, golden, golden statue, metallic, metal, bronze, brass, treasure, shiny metal,
            oscar, gilded, midas, chrome, polished metal, made of gold, copper, jewel, trophy,
            coin, luxury, rich, king, pharaoh, gold leaf, shiny"""),
        "noir": _list("""
            noir, film noir, black and white, monochrome, high contrast, dramatic shadows,
            detective, silent film, old movie, grayscale, greyscale, 1940s, sin city, black
            white, shadows, gritty, grey, gray, charlie chaplin, old photograph, classic film,
            colourless"""),
        "pop art": _list("""
            pop art, warhol, andy warhol, lichtenstein, screen print, silkscreen, pop, colour
            blocks, bold colours, bright colours, poster, retro poster, colourful, colorful, vivid,
            funky, vibrant, lithograph"""),
        "x-ray": _list("""
            x ray, xray, x rays, radiograph, radiology, skeleton, bones, hospital scan, mri, ct
            scan, transparent, negative, inverted, medical scan, ghost, ghostly, spooky, see,
            through, skull, spectre, doctor, photo negative"""),
        "night vision": _list("""
            night vision, night vision goggles, military, surveillance, security camera,
            soldier, spy, night scope, phosphor, sniper, hunting camera, special forces,
            stealth, radar, alien, toxic, radioactive, hulk, army, commando"""),
        "marble": _list("""
            marble, statue, sculpture, stone, marble statue, carved, relief, bas relief,
            plaster, clay, greek statue, roman statue, bust, michelangelo, emboss, embossed,
            concrete, rock, carved in stone, antique, granite, porcelain, ancient greece,
            museum, monument"""),
        "pixel art": _list("""
            pixel art, pixel, pixels, pixelated, 8 bit, 8bit, 16 bit, retro game, video game,
            nes, game boy, nintendo, low resolution, minecraft, voxel, blocky,
            old, game, sprite, commodore, atari, super mario, pixelart, low res"""),
        "toy bricks": _list("""
            toy bricks, bricks, brick, lego, building blocks, toy, plastic bricks, studs, toys,
            plastic, legos, construction toy, made of bricks, building bricks, duplo, block toy,
            play set, interlocking bricks, toy blocks"""),
        "halftone": _list("""
            halftone, half tone, newspaper, newsprint, dots, dotted, printed dots, print, news,
            ben day dots, magazine, risograph, stippled, stipple, pointillism, pointillist,
            raster, press photo, headline"""),
        "engraving": _list("""
            engraving, engraved, banknote, dollar bill, money engraving, etching, etched,
            hatching, hatched, crosshatching, cross hatching, woodcut, linocut, copperplate,
            stamp, postage stamp, dollar, bank note, lines of ink, currency"""),
        "mosaic": _list("""
            mosaic, tiles, tiled, roman mosaic, ceramic tiles, byzantine, tesserae, bathroom
            tiles, gaudi, tile floor, glazed tiles, stained glass, pompeii, ceramics, inlaid"""),
        "knitted": _list("""
            knitted, knit, wool, woollen, yarn, sweater, jumper, crochet, stitches, stitched,
            embroidery, cross stitch, tapestry, fabric, cloth, textile, grandma's sweater,
            woven, knitting, cosy, scarf"""),
        "chalkboard": _list("""
            chalkboard, chalk, blackboard, chalk drawing, classroom, school board, teacher,
            white chalk, drawn in chalk, lecture, lesson, pavement chalk"""),
        "psychedelic": _list("""
            psychedelic, trippy, rainbow, acid, acid trip, hippie, lsd, sixties, kaleidoscope,
            hallucination, woodstock, colour wheel, all colours, tie dye, iridescent, oil slick,
            prism, spectrum, wild colours"""),
    }
)

COLOUR_PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "red": _list("""
            red, red, red, reddish, crimson, scarlet, ruby, cherry red, blood red, vermilion,
            maroon"""),
        "orange": _list("orange, orange, orangey, amber, tangerine, apricot, peach, pumpkin"),
        "yellow": _list("yellow, yellow, yellowish, lemon, mustard, saffron, sunny yellow, canary"),
        "green": _list("""
            green, green, green, greenish, emerald, lime, olive, jade, mint, grass green, forest
            green"""),
        "turquoise": _list("turquoise, turquoise, teal, cyan, aqua, aquamarine, petrol"),
        "blue": _list("""
            blue, blue, blue, bluish, azure, navy, navy blue, sky blue, cobalt, indigo,
            sapphire"""),
        "purple": _list("purple, purple, purplish, violet, lilac, lavender, mauve, plum, amethyst"),
        "pink": _list("pink, pink, pinkish, magenta, fuchsia, rose, salmon, bubblegum, hot pink"),
        "sepia": _list("sepia, sepia, brown, brownish, chocolate, tan, beige, caramel, sepia tone"),
    }
)
COLOUR_FRAMES: tuple[str, ...] = (
    "{c} {}",
    "{c} {}",
    "{c} {}",
    "{} in {c}",
    "{} {c}",
    "{}, {c}",
    "{} with {c} tones",
    "{} in {c} tones",
    "{c} tinted {}",
    "{c} coloured {}",
    "{} in {c} colours",
    "{} in {c} light",
    "all {c} {}",
)

FAINTLY: tuple[str, ...] = _list("""
    slightly, slight, a bit of, a little, subtle, subtly, hint of, a touch of, faint, faintly,
    weak, mild, softly, half, barely, light touch of, partly, somewhat""")
STRONGLY: tuple[str, ...] = _list("""
    very, strong, strongly, intense, extreme, extremely, totally, really, heavy, full,
    completely, much, absolutely, beautiful, detailed, best, amazing, perfect""")
JOINTS: tuple[str, ...] = _list(
    """and, mixed with, with, meets, plus, combined with, blended with, in, of, on"""
)
SENTENCE_FRAMES: tuple[str, ...] = (
    "{}",
    "{}",
    "{}",
    "{} style",
    "in the style of {}",
    "a {} of a {n}",
    "{} {n}",
    "{n} {}",
    "{n} {n} {}",
    "{n} as {}",
    "make it {}",
    "make me look like {}",
    "turn me into {}",
    "turn the {n} into a {}",
    "i want {} please",
    "{n} made of {}",
    "{} effect",
    "{} look",
    "{} filter",
    "{n} in {} style",
    "the {n} and the {n} in {}",
)

NEUTRAL: tuple[str, ...] = _list("""
    a, an, the, of, in, on, at, to, is, am, are, it, this, that, my, me, i, you, we, he, she,
    his, her, them, and, or, but, with, without, from, into, like, as, for, by, make, made,
    turn, look, looks, looking, style, please, want, would, could, can, will, be, have, has,
    had, do, does, show, give, let, see, put, get, man, woman, person, people, boy, girl, child,
    face, head, hair, eyes, eye, mouth, nose, hand, hands, body, portrait, selfie, smile,
    smiling, talking, sitting, standing, walking, dog, cat, horse, bird, fish, tree, trees,
    forest, garden, flower, flowers, grass, house, home, room, office, kitchen, street, road,
    car, cars, bus, train, plane, boat, ship, sea, ocean, beach, river, lake, mountain,
    mountains, hill, sky, cloud, clouds, sun, moon, star, stars, day, morning, evening,
    afternoon, today, tomorrow, summer, spring, autumn, rain, wind, weather, world, city, town,
    village, country, field, farm, bridge, tower, church, castle, window, door, wall, floor,
    table, chair, bed, desk, lamp, book, books, phone, computer, camera, picture, photo,
    photograph, image, video, film, movie, scene, shot, view, background, front, back, left,
    right, up, down, over, under, near, far, big, small, large, little, tall, short, long, wide,
    old, young, new, good, bad, nice, great, happy, sad, angry, calm, quiet, loud, fast, slow,
    high, low, one, two, three, four, five, some, many, few, all, every, each, other, another,
    same, different, first, last, next, wearing, holding, eating, drinking, running, playing,
    dancing, singing, reading, writing, working, cooking, coffee, tea, water, bread, apple,
    cake, food, dinner, hat, shirt, dress, jacket, coat, shoes, glasses, tie, suit, music, song,
    guitar, piano, football, game, party, wedding, birthday, friend, friends, family, mother,
    father, brother, sister, teacher, student, worker, farmer, driver, pilot, singer, actor,
    dancer, cook, nurse, lion, tiger, bear, elephant, monkey, rabbit, mouse, snake, frog, bee,
    butterfly, spider, cow, pig, sheep, chicken, duck, owl, eagle, wolf, fox, deer, lovely,
    quality, high quality, detailed, professional, beautiful, cinematic, hd, uhd, sharp,
    trending, artstation, best, masterful, stunning, white, what,
    who, where, when, why, how, yes, no, not, only, also, too, more, less, most, then, now,
    here, there, there's, it's, hello, hey, hi, thanks, ok, test, testing, nobody, something,
    someone, everything, anything, banana, potato, umbrella, bicycle, bike, motorcycle, airport,
    station, hospital, school, university, library, shop, market, restaurant, hotel, park, zoo,
    theatre, cinema, island, desert, jungle, cave, space, planet, earth, rocket, satellite,
    president, queen, prince, princess, knight, wizard, witch, pirate, ninja, samurai, cowboy,
    astronaut, detective's, sailor, captain, chef, bottle, cup, glass of water, plate, fork,
    spoon, knife, box, bag, key, clock, watch, ring, money, paper, pen, letter, map, flag, ball,
    doll, kite, balloon, candle""")
