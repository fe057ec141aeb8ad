// Package policy is the IAM JSON policy language: a strict parser, a matcher that does not allocate, and an explanation of what matched.
//
// A [Document] is a list of statements. Each allows or denies what its elements cover: the caller (Principal), the operation (Action), the thing operated on
// (Resource), and any circumstance of the request (Condition). [Parse] reads and compiles a document; [Document.Evaluate] tells which statements match a
// [Request], in which of the [Way]s; [Document.Explain] tells a person why. The condition keys of a request come from a [Context], asked only for those that a
// statement needs. [Lint] tells the author of a document what it does less, or more, than was meant.
//
// The package knows the language, not what it is used for. It does not decide: several documents combine into a decision by rules of the service (what naming
// an account means, when a boundary limits, which callers need both sides to agree), and those begin with the rule that a Deny found in any document ends the
// matter. Nor does it know which principals exist, and of actions and condition keys only as much as it takes to point out those that do not. It is pure: no
// clock, no files, no goroutines, no state.
//
// # What is accepted
//
// The text is JSON as of RFC 8259 in valid UTF-8, up to 512 KiB. Refused are, beyond what the grammar excludes: a member name that appears twice in one
// object; two spellings of one condition key under one operator; names in the wrong case; empty lists, and operators without a key; a condition value that
// its operator could never compare; a malformed policy variable; a resource with a variable before its sixth part or a wildcard for its service; a principal
// that is not in the one exact form; NotPrincipal with Allow, or with "*"; in a key policy ForAllValues on a pair of the encryption context or on a tag of the
// request, as whoever leaves it out would meet that. A statement of a key policy may lack Action or Resource, and is then inert.
//
// # What is undecided elsewhere
//
// Where the language's documentation is silent or says two things, an Allow covers less and a Deny covers more:
//
//   - A multivalued condition key without ForAllValues or ForAnyValue is met in a Deny and not in an Allow. As a variable such a key has no value.
//   - A key that two names of the request fold to ([Ambiguous]) is present to Null. Under every other operator, also with a set operator or IfExists, it is met
//     in a Deny and not in an Allow. As a variable it has no value.
//   - ForAnyValue with IfExists on a missing key is met in a Deny only.
//   - A request value that is not of a negated operator's type (a text that is no number under NumericNotEquals), and any ARN comparison in which either side
//     has fewer than six parts, is neither equal nor different: a negated operator is met in a Deny only, a positive one never.
//   - Wildcards in a Resource match the six parts of an ARN one by one in an Allow. In a Deny they may also run over the colons, so that arn:aws:kms:* denies
//     every key and allows none. NotResource is the other way round. "*" alone is everything in both.
//   - A variable before the fifth colon of a Resource is refused in a key policy. In other policies it covers nothing in an Allow; in a Deny it stands for anything.
//   - A variable without a value makes a Resource cover nothing and a NotResource exempt nothing; in an Allow that means a NotResource allows nothing either.
//     In a condition it equals nothing, so that negated operators are met. Its default stands in for every key without a single value.
//   - "*" as principal covers services in a Deny only. NotPrincipal exempts a caller only if every name of the caller is listed, and never one with a
//     permissions boundary. A caller of unknown type is covered by every Deny of a key policy and by no Allow.
//   - A principal of type CanonicalUser never matches. One of type Federated matches the sessions whose [Principal] has that provider.
//
// Numbers compare exactly, without floating point. Dates compare as instants; four digits are a year, other whole numbers are seconds since 1970. Addresses
// compare as addresses, an IPv4 address mapped into IPv6 as IPv4. Text compares by code points, and without case by simple folding as [strings.EqualFold]
// does; actions fold in ASCII only.
//
// # What it does not protect against
//
// The verdict is as good as the request: the package believes the principal, the resource and the context it is given. Matching takes time in proportion to
// the product of pattern and value lengths at worst, so that whoever sets the limits of documents and of values bounds that too.
package policy
