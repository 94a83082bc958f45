// deploy/demo/lines.js - what people say in the demo's show. All of it is made up for this page.
// {item}, {size}, {colour}, {price}, {low}, {bid}, {host}, {winner} and {n} are filled in by show.js.

export const HOST = 'copperandthread';

export const lines = {
  greeting: [
    'hey everyone', 'evening all 👋', 'hi from Leeds', 'hello from a very rainy Porto', 'made it!!', 'just got off work, what did i miss',
    'hey {host}!', 'good evening chat', 'first time here, love the setup', 'back again lol', 'hiii', 'yo chat', 'hello hello',
    'finally caught one live', 'evening from Ohio', 'hey fam', 'who else is watching in bed', 'greetings from Tromsø ❄️', 'hi {host}, love your shop',
    'sup everybody', 'long time lurker, hi', 'morning from Melbourne ☕', 'hey hey', 'is this the vintage show?', 'hi all, happy friday',
  ],
  question: [
    'what size is it?', 'does it run small?', 'any flaws on it?', 'can you show the back please', 'how is the zipper', 'is that a stain or just the light?',
    'what year is this from', 'do you ship to Canada?', 'how much is shipping to the UK', 'do you combine shipping?', 'pit to pit?', 'is it real leather',
    'whats the brand again', 'can we see the tag', 'does it come with the box', 'is the {item} tested?', 'how many more lots tonight?',
    'whats the condition out of 10', 'can you hold it closer to the camera', 'is the {colour} that dark in person', 'do you take returns',
    'how long is the show tonight', 'are there any others in {colour}?', 'whats the starting bid', 'does anyone know if these go up in value',
    'is there a serial number on it?', 'when will it ship out', 'smoke free home?', 'is it machine washable lol', 'could you measure the inseam',
    'any more {colour} ones coming', 'is it heavy?', 'what did the last one go for', 'is it unisex', 'does the strap adjust', 'are those the original buttons',
    'is that the first pressing?', 'how does it smell, honestly', 'can you do a spin so we see all of it', 'what is that on the left shelf',
    'is the lining torn?', 'do you have more of these in the back', 'was it restored or is that all original', 'will there be a men\'s rack later',
  ],
  praise: [
    'oh that is gorgeous', 'the {colour} 😍', 'ok that is clean', 'wow', 'stunning piece', 'that stitching though', 'my grandma had one of these',
    'such a find', '🔥🔥🔥', 'beautiful', 'you always have the best stuff', 'that is a grail', 'need to see that in daylight, unreal', 'so good',
    'love love love', 'the patina on that', 'chefs kiss', 'this show is dangerous for my wallet', 'look at that colour', 'timeless', 'that is so 90s i cant',
    'obsessed', 'what a beauty', 'clean clean clean', 'that would look great with boots', 'they dont make them like that anymore', 'heat 🔥', 'W host',
    'W', 'the quality on these is wild', 'ok {host} where do you FIND these', 'museum piece', 'that label!!', 'crispy', 'that is art', '😮', '💛💛',
    'the way i gasped', 'soft as butter i bet', 'that silhouette is everything',
  ],
  banter: [
    'my cat just bid i think', 'chat is moving fast tonight', 'lol', 'hahaha', 'who is winning', 'i have to hide the packages from my husband',
    'someone stop me', 'this is my therapy', 'dinner is burning, worth it', 'anyone else on their third coffee', 'the music is great btw',
    'that plant in the background is thriving', 'brb', 'im back what happened', 'same', 'no way', 'lmaooo', 'true', 'facts', 'oof', '😂😂',
    'pls my bank account', 'watching this instead of doing my taxes', 'we are so spoiled tonight', 'i blinked and it was gone', 'how is it already 9',
    'my phone is at 4 percent, stay strong', 'that dog barking is in my house sorry', 'is it me or is the sound a bit low', 'sound is fine for me',
    'refresh the page, helped for me', 'the lighting is so good today', 'payday was yesterday and here we are', 'ok i need a snack', 'hydrate everyone',
    'somebody take my phone away', 'the suspense', 'tick tock', 'here we go again', 'not me explaining this to my roommate', 'this is better than tv',
    'chat you are all so nice', 'i came for one thing and stayed two hours', 'why is everyone so quiet', 'who won the last one?', 'popcorn ready 🍿',
  ],
  claim: [
    'mine', 'MINE', 'mine!!', 'ill take it', 'I will take it!', 'i\'ll take the {item}', 'sold', 'sold to me please', 'me me me ill buy it', 'i want it',
    'i want this one', 'i need the {item}, ill take it', 'can i buy it now?', 'take my money', 'take my money 💸', 'i\'ll buy it right now',
    'buying that, how do i pay', 'put me down for the {item}', 'add it to my order please', 'id like to buy the {item}', 'ill take it at {price}',
    'claim!', 'claiming the {item}', 'mine please, {size} is perfect', 'im in, ill take it', 'yes please, mine', 'can i get that one',
    'ill take two if you have them', 'dibs on the {item}', 'shut up and take my money', 'send me the invoice, i want it', 'i want to buy the {colour} one',
    'gimme that {item}', 'invoice me please', 'ill grab it', 'i\'m buying this', 'where do i pay? i want it', 'i\'ll have the {item} please',
    'let me buy it', 'ok ill take it', 'MINE MINE MINE', 'wrap it up, its mine', 'i want the {item}, {size}, yes', 'ready to pay now', 'i would like to purchase this',
    'sold! paying now', 'count me in for the {item}', 'reserve it for me, buying tonight', 'is it still available? ill take it', 'i\'ll take that off your hands',
    'can you ring me up for the {item}', 'want it, {size} right?', 'ill pay {price} right now', 'checkout link please, i want it',
  ],
  offer: [
    'would you do {low}?', 'i\'ll give you {low} for it', '{low} shipped?', '{price} and its mine', 'can do {low} today', 'offering {low}',
    'i have {low} ready to go', '{low} cash lol but seriously {low}', 'take {price}?', 'i can pay {price} tonight', 'best price on the {item}?',
    'would you take {low} if i pay now', '{price} for this and the last one?', 'bundle it with the other one for {price}?', 'bid {bid}', '{bid}', 'i say {bid}',
    '{low} and i pay shipping', 'how about {low}', 'ill go {bid}', 'could you meet me at {low}', 'lets say {price} and done',
  ],
  trap: [ // sounds near it, and is no purchase
    'i wish i could buy everything', 'i bought one of those last year, love it', 'mine arrived today, thank you!!', 'sold mine years ago and regret it',
    'if only it was my size', 'too rich for me', 'i would but rent is due', 'not buying tonight, just watching', 'my sister would take it in a second',
    'i never win these', 'someone buy it before i do something silly', 'already have two of them', 'who is going to take it?', 'i almost bought that once',
    'that went cheap last week', 'i can\'t afford it but wow', 'saving for the next show', 'don\'t sell it to me, i have no space', 'mine has the same scratch lol',
    'i would never pay that much', 'you sold me a jacket in may, still perfect', 'do people really pay {price} for that', 'not my colour, pass',
    'last time it sold in ten seconds', 'i want one but in another colour', 'gonna skip this one', 'my dad used to own that', 'glad i didn\'t buy the other one',
    'was going to buy it but it is too small', 'maybe next week when i get paid', 'i take it you have done this before 😄', 'mine is the same but in green',
    'it is sold out everywhere', 'i need to stop buying stuff', 'would be mine if i had the money',
  ],
  after: [
    'congrats @{winner}!', 'well played', 'nooo i was too slow', 'grats 🎉', 'W pickup', 'what a steal', 'lucky!!', 'enjoy it @{winner}', 'that was fast',
    'so jealous', 'i looked away for one second', 'good price actually', 'gg', 'that one hurt', 'next time...', 'congrats!! 👏', 'deserved', 'heartbroken',
    '@{winner} you have taste', 'well that is my night over', 'cheap!', 'someone had fast fingers', 'it found a good home', '👏👏👏', 'ugh my wifi',
    'stolen from under my nose', 'good for them', 'on to the next one', 'RIP my chances',
  ],
  service: [
    'my last order came in two days, great packing', 'can you check my order from tuesday?', 'how do i change my address', 'does the app charge me right away',
    'paid!', 'just paid for mine, thank you', 'where do i see my invoices', 'can i pick up locally', 'is tracking included', 'thanks for the sticker in my parcel',
    'package arrived, tysm', 'how does pre-bid work', 'how do i follow the shop', 'please remember to sign in before you bid, folks', 'is there a giveaway tonight?',
    'when is the next show', 'do you do sundays too', 'any discount codes', 'can i still join the raffle', 'how do refunds work here',
  ],
  hostOpen: [
    'next up: {item}, {colour}, {size}. We start at {start}', 'lot {n}, the {item}. Starts at {start}, let\'s go', 'ok this one is special: {item} in {colour}',
    'here it comes, the {item}. {start} to start', 'who was waiting for the {item}?', 'a {colour} {item}, no flaws that I can find. {start}',
    'lot {n}: {item}. I kept this one back for tonight', 'look at this {item}. {start} gets us going',
  ],
  hostAnswer: [
    'no stains, it is just the lamp', 'yes, I combine shipping all night', 'it runs true to size', 'ships Monday, tracked', 'I would call it nine out of ten',
    'all original, also the buttons', 'we ship worldwide', 'measures are in the notes', 'tested this afternoon, works', 'yes the {colour} is that deep', 'smoke free, two cats though',
    'I have one more in the back, different size', 'about two hours to go tonight', 'turning it around for you now',
  ],
  hostSold: [
    'sold to {winner} for {bid}! Thank you', '{winner}, it is yours at {bid}', 'going, going, gone: {winner}, {bid}', 'and {winner} takes it home. {bid}!',
    '{bid}, {winner}. I will pack it with care', 'that one goes to {winner}',
  ],
  moderator: [
    'be kind in chat please', 'questions about orders: message the shop, we answer tonight', 'follow the shop to hear when we go live', 'remember: bids are binding, chat is not',
    'welcome to everyone who just joined', 'no links please', 'giveaway at the end of the hour, stay tuned', 'please no caps lock wars 😄',
  ],
};

// kind: which drawing (art.js). price: where the bidding usually ends, in dollars.
export const items = [
  { item: 'waxed field jacket', kind: 'jacket', colour: 'olive', price: 68, size: 'M' },
  { item: 'canvas tote', kind: 'bag', colour: 'natural', price: 18, size: 'one size' },
  { item: 'suede sneakers', kind: 'shoe', colour: 'sand', price: 45, size: '9' },
  { item: 'rangefinder camera', kind: 'camera', colour: 'silver', price: 120, size: '35 mm' },
  { item: 'jazz trio LP', kind: 'record', colour: 'blue', price: 26, size: '12 inch' },
  { item: 'wool varsity jacket', kind: 'jacket', colour: 'burgundy', price: 85, size: 'L' },
  { item: 'mechanical watch', kind: 'watch', colour: 'cream', price: 140, size: '36 mm' },
  { item: 'striped rugby shirt', kind: 'shirt', colour: 'navy', price: 32, size: 'L' },
  { item: 'enamel coffee pot', kind: 'pot', colour: 'teal', price: 24, size: '1 l' },
  { item: 'holographic trading card', kind: 'card', colour: 'violet', price: 55, size: 'near mint' },
  { item: 'leather satchel', kind: 'bag', colour: 'tan', price: 74, size: 'medium' },
  { item: 'high-top trainers', kind: 'shoe', colour: 'red', price: 60, size: '10' },
  { item: 'faded band tee', kind: 'shirt', colour: 'black', price: 38, size: 'XL' },
  { item: 'brass desk lamp', kind: 'lamp', colour: 'brass', price: 48, size: '40 cm' },
  { item: 'instant camera', kind: 'camera', colour: 'white', price: 58, size: 'boxed' },
  { item: 'corduroy cap', kind: 'cap', colour: 'rust', price: 16, size: 'adjustable' },
  { item: 'soul compilation LP', kind: 'record', colour: 'orange', price: 22, size: '12 inch' },
  { item: 'quilted liner coat', kind: 'jacket', colour: 'moss', price: 52, size: 'S' },
  { item: 'dive watch', kind: 'watch', colour: 'midnight', price: 165, size: '40 mm' },
  { item: 'rookie card', kind: 'card', colour: 'gold', price: 90, size: 'graded 9' },
  { item: 'flannel shirt', kind: 'shirt', colour: 'forest', price: 27, size: 'M' },
  { item: 'stoneware teapot', kind: 'pot', colour: 'slate', price: 34, size: '0.8 l' },
  { item: 'running shoes', kind: 'shoe', colour: 'mint', price: 42, size: '8.5' },
  { item: 'logger boots', kind: 'boot', colour: 'chestnut', price: 95, size: '11' },
  { item: 'mushroom lamp', kind: 'lamp', colour: 'coral', price: 62, size: '30 cm' },
  { item: 'trucker hat', kind: 'cap', colour: 'mustard', price: 19, size: 'adjustable' },
  { item: 'denim chore coat', kind: 'jacket', colour: 'indigo', price: 58, size: 'L' },
  { item: 'film point-and-shoot', kind: 'camera', colour: 'graphite', price: 72, size: 'compact' },
  { item: 'weekender bag', kind: 'bag', colour: 'cognac', price: 88, size: 'large' },
  { item: 'first-press synth LP', kind: 'record', colour: 'pink', price: 44, size: '12 inch' },
];

const FIRST = ['amber', 'bramble', 'cedar', 'dusty', 'echo', 'fable', 'ginger', 'hazel', 'indigo', 'juniper', 'koda', 'lark', 'maple', 'nova', 'olive',
  'pepper', 'quill', 'rowan', 'sable', 'tansy', 'umber', 'vesper', 'willow', 'yarrow', 'zephyr', 'milo', 'basil', 'coco', 'dot', 'remy'];
const LAST = ['closet', 'finds', 'vintage', 'kicks', 'records', 'attic', 'rae', 'thrifts', 'collects', 'mae', 'outlet', 'garage', 'stitch', 'parlour', 'fox'];
const FORMS = [(a, b) => `${a}_${b}`, (a, b) => `${a}${b}`, (a, b) => `${a}.${b}`, (a, b, n) => `${a}${n}`, (a, b, n) => `${a}${b}${n}`];

/** 150 names, always the same. */
export const people = Array.from({ length: 150 }, (_, i) => {
  const first = FIRST[i % FIRST.length], last = LAST[(i * 7 + Math.floor(i / FIRST.length)) % LAST.length];
  return FORMS[(i * 3 + Math.floor(i / 11)) % FORMS.length](first, last, 3 + (i * 37) % 96);
});
export const moderators = ['threadhelper', 'nightshift_nell'];
