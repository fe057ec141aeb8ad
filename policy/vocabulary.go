package policy

import "strings"

// The words of AWS KMS. Documents may use others, which mean nothing to it: [Parse] accepts them and [Lint] points them out.

// permissions are the names of all actions, in lower case.
var permissions = []string{
	"kms:cancelkeydeletion", "kms:connectcustomkeystore", "kms:createalias", "kms:createcustomkeystore", "kms:creategrant", "kms:createkey", "kms:decapsulate", "kms:decrypt",
	"kms:deletealias", "kms:deletecustomkeystore", "kms:deleteimportedkeymaterial", "kms:derivesharedsecret", "kms:describecustomkeystores", "kms:describekey",
	"kms:disablekey", "kms:disablekeyrotation", "kms:disconnectcustomkeystore", "kms:enablekey", "kms:enablekeyrotation", "kms:encapsulate", "kms:encrypt",
	"kms:generatedatakey", "kms:generatedatakeypair", "kms:generatedatakeypairwithoutplaintext", "kms:generatedatakeywithoutplaintext", "kms:generatemac",
	"kms:generaterandom", "kms:getkeylastusage", "kms:getkeypolicy", "kms:getkeyrotationstatus", "kms:getparametersforimport", "kms:getpublickey", "kms:importkeymaterial",
	"kms:listaliases", "kms:listgrants", "kms:listkeypolicies", "kms:listkeyrotations", "kms:listkeys", "kms:listresourcetags", "kms:listretirablegrants", "kms:putkeypolicy",
	"kms:reencryptfrom", "kms:reencryptto", "kms:replicatekey", "kms:retiregrant", "kms:revokegrant", "kms:rotatekeyondemand", "kms:schedulekeydeletion", "kms:sign",
	"kms:synchronizemultiregionkey", "kms:tagresource", "kms:untagresource", "kms:updatealias", "kms:updatecustomkeystore", "kms:updatekeydescription",
	"kms:updateprimaryregion", "kms:verify", "kms:verifymac",
}

// keylessPermissions are those of permissions that are about no one key: their resource is "*", and key policies are not asked.
var keylessPermissions = map[string]bool{
	"kms:connectcustomkeystore": true, "kms:createcustomkeystore": true, "kms:createkey": true, "kms:deletecustomkeystore": true, "kms:describecustomkeystores": true,
	"kms:disconnectcustomkeystore": true, "kms:generaterandom": true, "kms:listaliases": true, "kms:listkeys": true, "kms:listretirablegrants": true,
	"kms:updatecustomkeystore": true,
}

// aliasPermissions are those that need an alias as resource, beside a key.
var aliasPermissions = []string{"kms:createalias", "kms:deletealias", "kms:updatealias"}

// The resources of AWS KMS, as patterns of which every one matches some.
const (
	everyKey   = "arn:*:kms:*:*:key/?*"
	everyAlias = "arn:*:kms:*:*:alias/?*"
)

// A keyForm is what is known of a condition key.
type keyForm uint8

const (
	unknownKey keyForm = iota
	singleKey          // has one value
	severalKey         // may have several
	namedKey           // has a free part, and one value
)

var conditionKeys = map[string]keyForm{
	"aws:calledvia":                 severalKey,
	"aws:calledviafirst":            singleKey,
	"aws:calledvialast":             singleKey,
	"aws:currenttime":               singleKey,
	"aws:epochtime":                 singleKey,
	"aws:federatedprovider":         singleKey,
	"aws:multifactorauthage":        singleKey,
	"aws:multifactorauthpresent":    singleKey,
	"aws:principalaccount":          singleKey,
	"aws:principalarn":              singleKey,
	"aws:principalisawsservice":     singleKey,
	"aws:principalorgid":            singleKey,
	"aws:principalorgpaths":         severalKey,
	"aws:principalservicename":      singleKey,
	"aws:principalservicenameslist": severalKey,
	"aws:principaltag":              namedKey,
	"aws:principaltype":             singleKey,
	"aws:referer":                   singleKey,
	"aws:requestedregion":           singleKey,
	"aws:requesttag":                namedKey,
	"aws:resourceaccount":           singleKey,
	"aws:resourcetag":               namedKey,
	"aws:securetransport":           singleKey,
	"aws:sourceaccount":             singleKey,
	"aws:sourcearn":                 singleKey,
	"aws:sourceip":                  singleKey,
	"aws:sourceorgid":               singleKey,
	"aws:sourcevpc":                 singleKey,
	"aws:sourcevpce":                singleKey,
	"aws:tagkeys":                   severalKey,
	"aws:tokenissuetime":            singleKey,
	"aws:useragent":                 singleKey,
	"aws:userid":                    singleKey,
	"aws:username":                  singleKey,
	"aws:viaawsservice":             singleKey,
	"aws:vpcsourceip":               singleKey,

	"kms:bypasspolicylockoutsafetycheck":         singleKey,
	"kms:calleraccount":                          singleKey,
	"kms:customermasterkeyspec":                  singleKey,
	"kms:customermasterkeyusage":                 singleKey,
	"kms:datakeypairspec":                        singleKey,
	"kms:encryptionalgorithm":                    singleKey,
	"kms:encryptioncontext":                      namedKey,
	"kms:encryptioncontextkeys":                  severalKey,
	"kms:expirationmodel":                        singleKey,
	"kms:grantconstraintsourcearn":               singleKey,
	"kms:grantconstrainttype":                    singleKey,
	"kms:granteeprincipal":                       singleKey,
	"kms:granteeserviceprincipal":                singleKey,
	"kms:grantisforawsresource":                  singleKey,
	"kms:grantoperations":                        severalKey,
	"kms:keyagreementalgorithm":                  singleKey,
	"kms:keyorigin":                              singleKey,
	"kms:keyspec":                                singleKey,
	"kms:keyusage":                               singleKey,
	"kms:macalgorithm":                           singleKey,
	"kms:messagetype":                            singleKey,
	"kms:multiregion":                            singleKey,
	"kms:multiregionkeytype":                     singleKey,
	"kms:primaryregion":                          singleKey,
	"kms:recipientattestation":                   namedKey,
	"kms:reencryptonsamekey":                     singleKey,
	"kms:replicaregion":                          singleKey,
	"kms:requestalias":                           singleKey,
	"kms:resourcealiases":                        severalKey,
	"kms:retiringprincipal":                      singleKey,
	"kms:retiringserviceprincipal":               singleKey,
	"kms:rotationperiodindays":                   singleKey,
	"kms:schedulekeydeletionpendingwindowindays": singleKey,
	"kms:signingalgorithm":                       singleKey,
	"kms:trailingdayswithoutkeyusage":            singleKey,
	"kms:validto":                                singleKey,
	"kms:viaservice":                             singleKey,
	"kms:wrappingalgorithm":                      singleKey,
	"kms:wrappingkeyspec":                        singleKey,
}

// form returns what is known of k: unknownKey also if it has a free part and should not, or lacks the one that it should have.
func (k Key) form() keyForm {
	form := conditionKeys[k.Name]
	if (k.Part != "") != (form == namedKey) {
		return unknownKey
	}
	return form
}

// judged reports whether the tables have all keys of k's vendor.
func (k Key) judged() bool {
	return strings.HasPrefix(k.Name, "kms:") || strings.HasPrefix(k.Name, "aws:")
}

// A crowd is who a condition lets ask, where the statement's principal is "*".
type crowd uint8

const (
	everybody crowd = iota // whoever likes to
	namesakes              // whom an account has given a name or a tag, a service or a role of a name, which every account can do
	insiders               // certain callers, accounts, organizations or networks
)

// crowds are the keys that tell who asks, or from where. All others are about what is asked.
var crowds = map[string]crowd{
	"aws:principalaccount": insiders, "aws:principalarn": insiders, "aws:principalorgid": insiders, "aws:principalorgpaths": insiders, "aws:sourceaccount": insiders,
	"aws:sourcearn": insiders, "aws:sourceip": insiders, "aws:sourceorgid": insiders, "aws:sourcevpc": insiders, "aws:sourcevpce": insiders, "aws:userid": insiders,
	"kms:calleraccount": insiders,

	"aws:principaltag": namesakes, "aws:username": namesakes, "kms:viaservice": namesakes,
}
