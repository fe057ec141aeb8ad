// Package identities reads from JSON files which users and roles there are, and what their accounts attach to them: it is a [kms.Identities].
//
//	ids, err := identities.Open("iam.json") // or a directory of such files
//	ring, err := kms.Open(ctx, kms.Config{Identities: ids, …})
//	go ids.Watch(ctx, 10*time.Second, func(err error) { log.Println("identities:", err) })
//
// # The format
//
// A file is what "aws iam get-account-authorization-details" prints, as it is:
//
//	{
//	  "UserDetailList": [{
//	    "Arn": "arn:aws:iam::111122223333:user/ops/carol",
//	    "UserId": "AIDACKCEVSQ6C2EXAMPLE",
//	    "GroupList": ["operators"],
//	    "UserPolicyList": [{"PolicyName": "own", "PolicyDocument": {"Version": "2012-10-17", "Statement": […]}}],
//	    "AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::111122223333:policy/keys"}],
//	    "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/limit"},
//	    "Tags": [{"Key": "team", "Value": "red"}]
//	  }],
//	  "GroupDetailList": [{"Arn": "arn:aws:iam::111122223333:group/operators", "GroupPolicyList": […], "AttachedManagedPolicies": […]}],
//	  "RoleDetailList": [{"Arn": "arn:aws:iam::111122223333:role/orders", "RolePolicyList": […], …}],
//	  "Policies": [{"Arn": "arn:aws:iam::111122223333:policy/keys", "PolicyVersionList": [{"Document": {…}}]}, …]
//	}
//
// and one member more, for what an organisation says of accounts:
//
//	"Accounts": [{
//	  "Id": "111122223333",
//	  "OrganizationId": "o-a1b2c3d4e5",
//	  "OrganizationPaths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"],
//	  "ServiceControlPolicies": [[{…}], [{…}, {…}]],
//	  "ResourceControlPolicies": [[{…}]]
//	}]
//
// Control policies are lists of levels, from the root of the organisation to the account, and each level the list of what is attached there. An account without them is
// not limited; a level with an empty list allows nothing.
//
// Of a user, group, role or policy only the Arn must be there; what else the export says is checked against it. All lists may be left out. The policies of a user are
// its own, those that are attached to it, and those of its groups. Of a managed policy the default version counts, or the only one; other versions are not read. A
// policy document is an object, or a string that holds one, URL-encoded or not.
//
// Several accounts may be in one file, or one account in several: the files of a directory are read as one. AWS managed policies may be in several files if they are
// the same. An account exists if a user, group or role of it is listed, or if it stands among Accounts.
//
// A UserId or RoleId ties the key policies that name the user or role to it: another one of that name, later, gets nothing from them. Without ids it does.
//
// # What is refused
//
// A file says who may do what, so that nothing in it is overlooked. Refused are: members with other names than those, also in other letter case; members that stand
// twice in one object; an Arn, a unique id or an Id of an account that comes twice; two users, roles or groups of an account whose names differ by path or by letter
// case alone; malformed ARNs; names and paths that are not those of the Arn; a group that is not listed, an attached policy or a boundary that is not among Policies,
// and policies of another account; a managed policy whose default version is not clear; tags whose keys differ by case alone; documents that [policy.Parse] refuses,
// which is as strict; an empty list of levels; an account in two partitions; an export that was cut off (IsTruncated); a directory without files. A file has up to
// 64 MiB and two million values, a directory 256 MiB, and nothing is nested more than 32 deep.
//
// An error names the file, the line and the column, the user or whatever it belongs to, and what is wrong. Files are taken all together or not at all.
//
// # What it does not do
//
// Whoever can write the files decides about everything that key policies leave to IAM: guard them as what they are. Nothing is fetched from anywhere, and nothing is
// written. Trust policies, instance profiles and dates are passed over: who may assume a role is for the program to decide, which has authenticated its callers.
// Service control policies are applied to whoever their account lists, service-linked roles and the management account too; leave them out where they do not apply.
//
// A change of several files one after the other may be seen between two of them: replace one file by renaming another over it, or a directory by exchanging a link to
// it. A decision is made of what was known at one moment.
package identities
